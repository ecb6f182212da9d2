"""All eight phases over real OpenSSH and real pushes: from an empty host to a stopped monolith."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from migrate.dokku.desired import chosen
from migrate.dokku.grammar import check
from migrate.dokku.phases.commands import OperatorCommands
from migrate.dokku.phases.runner import PhaseError, complete, find_phase, start, statuses
from migrate.dokku.phases.world import World
from migrate.dokku.session import open_session
from shared.manifest import Manifest
from shared.manifest_dokku import ConfigSource
from shared.states import PhaseStatus
from tests.dokku_host.host import FakeHost
from tests.dokku_host.public import answering, public_host
from tests.dokku_host.server import DokkuServer
from tests.integration.dokku.conftest import (
    checkout,
    databases,
    host,
    listener,
    manifest,
    operator_environment,
    server,
)

__all__ = ["checkout", "databases", "host", "listener", "manifest", "server"]


@pytest.fixture
def public(host: FakeHost, manifest: Manifest) -> Iterator[str]:
    with public_host(host, manifest.project.public_host) as url:
        yield url


def pointed_at(manifest: Manifest, url: str) -> Manifest:
    """The shipped manifest with a public address that the test can ask."""
    assert manifest.dokku is not None
    config = manifest.dokku.common_config | {"PUBLIC_BASE_URL": ConfigSource(value=url)}
    section = manifest.dokku.model_copy(update={"common_config": config})
    return manifest.model_copy(update={"dokku": section})


@pytest.mark.timeout(300)
async def test_eight_phases_from_an_empty_host_to_an_empty_plan(
    server: DokkuServer,
    host: FakeHost,
    manifest: Manifest,
    public: str,
    checkout: Path,
    tmp_path: Path,
) -> None:
    whole = pointed_at(manifest, public)
    said: list[str] = []
    asked: list[str] = []
    waited: list[float] = []

    async def yes(question: str) -> bool:
        asked.append(question)
        return True

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    host.run_releases = True
    environment = operator_environment(server)
    async with open_session(whole, environment=environment, folder=checkout) as session:
        session.deployer.pause = 0.01
        world = World(
            session, OperatorCommands(session.transport, "operator"),
            say=said.append, confirm=yes, backups=tmp_path / "backups", sleep=sleep,
        )  # fmt: skip
        with pytest.raises(PhaseError, match="comes after phase 1"):
            await start(world, find_phase(whole.phases, "media"))
        for phase in whole.phases:
            await start(world, phase)
            found = await complete(world, phase)
            assert all(row.holds for row in found), (phase.name, found)
        known = await statuses(world)
        assert set(known.values()) == {PhaseStatus.COMPLETED}
        assert len(known) == 8
        plan = await session.applier.plan(chosen(whole))
        assert plan.is_empty, [(c.subject, c.differences) for c in plan.changes]

    assert answering(host, whole.project.public_host) == ["router"]
    assert host.state.apps["api-monolith"].stopped
    assert not host.refused, "the host refused no command"
    for line in host.log:
        if line[0] != "(push)":
            check(line)
    words = " ".join(" ".join(line) for line in host.log) + " ".join(said)
    assert environment["JWT_SECRETS"] not in words
    (dump,) = (tmp_path / "backups").glob("scenextras-db-phase-8-retirement-*.dump")
    assert dump.stat().st_mode & 0o077 == 0
    assert [q for q in asked if "will answer nothing" in q] == [
        "api-monolith will answer nothing any more"
    ]
    assert 600.0 in waited, "shadow compares for ten minutes"
    for name, service in whole.services.items():
        app = host.state.apps[service.app]
        assert app.running, name
        assert app.containers is not None
        assert not app.proxy_enabled
        assert not any(key.endswith("_ADMIN_URL") for key in app.config)
