"""All eight phases over real OpenSSH and real pushes: from an empty host to a stopped monolith."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from migrate.dokku.grammar import check
from migrate.dokku.phases.commands import OperatorCommands
from migrate.dokku.phases.world import World
from migrate.dokku.session import open_session
from shared.manifest import Manifest
from tests.dokku_host.all_phases import Heard, asked_at, live_through_all, remove_all
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


@pytest.mark.timeout(300)
async def test_eight_phases_from_an_empty_host_to_an_empty_plan(
    server: DokkuServer,
    host: FakeHost,
    manifest: Manifest,
    public: str,
    checkout: Path,
    tmp_path: Path,
) -> None:
    heard = Heard()
    host.run_releases = True
    environment = operator_environment(server)
    async with open_session(
        asked_at(manifest, public, 60), environment=environment, folder=checkout
    ) as session:
        session.deployer.pause = 0.01
        world = World(
            session, OperatorCommands(session.transport, "operator"),
            say=heard.said.append, confirm=heard.yes, backups=tmp_path / "backups",
            sleep=heard.sleep,
        )  # fmt: skip
        await live_through_all(world)

        assert answering(host, manifest.project.public_host) == ["router"]
        assert host.state.apps["api-monolith"].stopped
        assert not host.refused, "the host refused no command"
        for line in host.log:
            if line[0] != "(push)":
                check(line)
        words = " ".join(" ".join(line) for line in host.log) + " ".join(heard.said)
        assert environment["JWT_SECRETS"] not in words
        assert environment["ROUTER_ADMIN_TOKEN"] not in words
        dumps = list((tmp_path / "backups").glob("scenextras-db-phase-8-retirement-*.dump"))
        assert len(dumps) in {1, 2}, "one per start of the phase, named by the second"
        assert all(dump.stat().st_mode & 0o077 == 0 for dump in dumps)
        assert [q for q in heard.asked if "will answer nothing" in q] == [
            "api-monolith will answer nothing any more"
        ] * 2
        assert 600.0 in heard.waited, "shadow compares for ten minutes"
        for name, service in manifest.services.items():
            app = host.state.apps[service.app]
            assert app.running, name
            assert app.containers is not None
            assert not app.proxy_enabled
            assert not any(key.endswith("_ADMIN_URL") for key in app.config)
        await remove_all(session)
    assert not host.state.apps
    assert not host.state.stores
