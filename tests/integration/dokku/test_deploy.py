"""Deploys by real git pushes over OpenSSH: only what changed, in order, and never believed without proof."""

from __future__ import annotations

import asyncio
import copy
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from migrate.dokku.deploy import DeployFailedError, waves
from migrate.dokku.observed import STARTED, STOPPED, run_key
from migrate.dokku.repository import RepositoryError
from migrate.dokku.session import Session, open_session
from shared.errors import OperatorError
from shared.manifest import Manifest
from shared.manifest_dokku import AppDokku
from tests.dokku_host.host import FakeHost, make_host
from tests.dokku_host.operator_side import applier_for
from tests.dokku_host.postgres import Databases
from tests.dokku_host.server import DokkuServer
from tests.integration.dokku.conftest import commit, git, operator_environment

APPS = ("api-monolith", "content-service", "media-service")


@pytest.fixture(scope="module")
def provisioned(databases: Databases, manifest: Manifest) -> Iterator[FakeHost]:
    """Three provisioned apps; nothing is deployed yet. Tests work on copies of its state."""
    host = make_host(databases)

    async def build() -> None:
        await (await applier_for(host, manifest)).apply(APPS)

    asyncio.run(build())
    yield host
    databases.clean()


@pytest.fixture
def host(provisioned: FakeHost) -> FakeHost:
    """A host of the test's own; the databases behind it are shared."""
    return FakeHost(provisioned.databases, copy.deepcopy(provisioned.state))


@pytest.fixture
async def session(
    server: DokkuServer, manifest: Manifest, checkout: Path
) -> AsyncIterator[Session]:
    """The operator's session with the host."""
    async with open_session(
        manifest, environment=operator_environment(server), folder=checkout
    ) as found:
        found.deployer.pause = 0.01
        yield found


def pushes(host: FakeHost) -> list[str]:
    return [line[1] for line in host.log if line[0] == "(push)"]


async def deploy(session: Session, apps: tuple[str, ...] = APPS, ref: str = "HEAD") -> str:
    revision = await session.repository.revision(ref)
    found = await session.deployer.candidates(apps, revision)
    await session.deployer.deploy([c.app for c in found if c.reason], revision)
    return revision


async def test_apps_are_deployed_in_order_and_once(session: Session, host: FakeHost) -> None:
    revision = await deploy(session)
    assert pushes(host)[0] == "api-monolith"
    assert sorted(pushes(host)) == sorted(APPS)
    for app in APPS:
        assert host.state.apps[app].source == revision
        assert host.state.apps[app].running
    host.log.clear()
    await deploy(session)
    assert pushes(host) == []


async def test_an_app_that_a_phase_stopped_is_not_pushed_in_passing(
    session: Session, host: FakeHost
) -> None:
    digests = session.applier.digests
    await digests.keep({run_key("content-service"): STOPPED})
    try:
        await deploy(session)
        assert "content-service" not in pushes(host)
        assert "api-monolith" in pushes(host)
    finally:
        await digests.keep({run_key("content-service"): STARTED})


async def test_only_apps_whose_files_changed_are_pushed(
    session: Session, host: FakeHost, checkout: Path
) -> None:
    await deploy(session)
    host.log.clear()
    (checkout / "services/content/code.py").write_text("VERSION = 2\n")
    commit(checkout, "content only")
    await deploy(session)
    assert pushes(host) == ["content-service"]
    host.log.clear()
    (checkout / "shared/code.py").write_text("VERSION = 2\n")
    commit(checkout, "shared counts for all that use it")
    await deploy(session)
    assert sorted(pushes(host)) == ["content-service", "media-service"]  # the monolith does not


async def test_a_push_that_deploys_nothing_is_not_believed(
    session: Session, host: FakeHost
) -> None:
    host.silent_pushes.add("content-service")
    with pytest.raises(DeployFailedError) as caught:
        await deploy(session)
    assert caught.value.app == "content-service"
    assert "the host runs nothing" in caught.value.problem


async def test_a_branch_that_is_there_already_is_rebuilt(
    session: Session, host: FakeHost, checkout: Path
) -> None:
    """Once a push has moved the branch without a deploy, pushing again would never help."""
    await deploy(session)
    (checkout / "services/content/code.py").write_text("VERSION = 2\n")
    second = commit(checkout, "pushed in silence")
    host.silent_pushes.add("content-service")
    with pytest.raises(DeployFailedError):
        await deploy(session)
    host.silent_pushes.clear()
    host.log.clear()
    await deploy(session)
    assert host.state.apps["content-service"].source == second
    assert "ps:rebuild content-service" in host.changes()


async def test_a_push_to_another_branch_deploys_nothing_and_is_noticed(
    session: Session, host: FakeHost
) -> None:
    host.state.properties["git", "content-service", "deploy-branch"] = "stable"
    revision = await session.repository.revision()
    url = session.deployer.url("content-service")
    pushed = await session.repository.push(url, revision, "main")
    assert pushed.exit == 0
    assert host.state.apps["content-service"].source == ""


async def test_a_failed_deploy_stops_the_later_ones_and_keeps_the_old_containers(
    session: Session, host: FakeHost, checkout: Path
) -> None:
    first = await deploy(session)
    host.log.clear()
    (checkout / "migration.toml").write_text("# changed\n")
    (checkout / "monolith/code.py").write_text("VERSION = 3\n")
    second = commit(checkout, "breaks the monolith")
    host.failing_deploys.add("api-monolith")
    with pytest.raises(DeployFailedError) as caught:
        await deploy(session)
    assert caught.value.app == "api-monolith"
    assert "web container failed its checks" in caught.value.problem
    assert set(caught.value.untouched) == {"content-service", "media-service"}
    assert host.state.apps["api-monolith"].source == first != second
    host.failing_deploys.clear()
    await deploy(session)
    assert all(host.state.apps[app].source == second for app in APPS)


async def test_rollback_pushes_the_last_other_deploy(
    session: Session, host: FakeHost, checkout: Path
) -> None:
    first = await deploy(session)
    (checkout / "services/content/code.py").write_text("VERSION = 2\n")
    second = commit(checkout, "worse")
    await deploy(session)
    assert host.state.apps["content-service"].source == second
    assert await session.deployer.previous("content-service") == first
    await session.deployer.deploy(["content-service"], first, force=True)
    assert host.state.apps["content-service"].source == first
    assert host.state.apps["content-service"].running


async def test_an_app_without_an_earlier_deploy_cannot_go_back(session: Session) -> None:
    await deploy(session)
    with pytest.raises(OperatorError, match="no earlier deploy of content-service"):
        await session.deployer.previous("content-service")


async def test_a_push_to_a_name_that_is_no_app_creates_none(
    session: Session, host: FakeHost
) -> None:
    revision = await session.repository.revision()
    answer = await session.repository.push(
        session.deployer.url("content-servcie"), revision, "main"
    )
    assert answer.exit != 0
    assert "content-servcie" not in host.state.apps


async def test_a_shallow_clone_is_refused_before_anything_is_pushed(
    session: Session, host: FakeHost, checkout: Path, tmp_path: Path
) -> None:
    (checkout / "x").write_text("y")
    commit(checkout, "second")
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{checkout}", "shallow")
    object.__setattr__(session.repository, "folder", tmp_path / "shallow")
    with pytest.raises(RepositoryError, match="unshallow"):
        await deploy(session)
    assert pushes(host) == []


async def test_rights_on_tables_are_given_before_the_service_starts(
    session: Session, host: FakeHost
) -> None:
    """The monolith's release makes the tables; the service's role gets them before its own deploy."""
    store = host.state.stores["postgres", "scenextras-db"].database
    sql = (
        "CREATE TABLE titles (id int); CREATE TABLE users (id int); CREATE TABLE messages (id int);"
    )
    assert host.databases.sql(store, sql.encode())[0] == 0
    await deploy(session)
    check = (
        "SELECT string_agg(table_name || ':' || privilege_type, ' ' ORDER BY 1)"
        " FROM (SELECT table_name, privilege_type FROM information_schema.role_table_grants"
        " WHERE grantee = 'content' AND table_schema = 'public' ORDER BY 1, 2) g;"
    )
    code, out, _ = host.databases.sql(store, check.encode())
    host.databases.sql(store, b"DROP TABLE titles, users, messages;")
    assert code == 0
    assert re.findall(r"(\w+):([A-Z]+)", out) == [
        ("titles", "DELETE"),
        ("titles", "INSERT"),
        ("titles", "SELECT"),
        ("titles", "UPDATE"),
        ("users", "SELECT"),
    ]


def test_apps_that_do_not_wait_for_each_other_share_a_wave() -> None:
    models = {
        "router": AppDokku(deploy_after=("monolith", "chat")),
        "chat": AppDokku(deploy_after=("monolith",)),
        "auth": AppDokku(deploy_after=("monolith",)),
        "monolith": AppDokku(),
    }
    assert waves(("monolith", "chat", "auth", "router"), models) == (
        ("monolith",), ("chat", "auth"), ("router",),
    )  # fmt: skip
