"""The steps of the ring on a real host, on the fake one: they have to pass there the first time."""

from __future__ import annotations

from pathlib import Path

from migrate.dokku.session import Session, open_session
from shared.manifest import parse_manifest
from tests.dokku_host.host import FakeHost
from tests.dokku_host.scenario import (
    APPS,
    GREETING,
    MANIFEST,
    live_through,
    make_repository,
    remove_everything,
)
from tests.dokku_host.server import DokkuServer
from tests.integration.dokku.conftest import operator_environment


async def test_the_steps_of_the_real_ring_pass_on_the_fake_host(
    server: DokkuServer, host: FakeHost, tmp_path: Path
) -> None:
    repository = make_repository(tmp_path / "repository")

    async def ask(_session: Session) -> str:
        containers = host.state.apps[APPS[0]].containers
        assert containers is not None
        assert host.state.apps[APPS[1]].config["MONOLITH_URL"] == f"http://{APPS[0]}.web:5000"
        return containers.env["GREETING"]

    environment = operator_environment(server) | {"STRANGLER_TEST_GREETING": GREETING}
    async with open_session(
        parse_manifest(MANIFEST), environment=environment, folder=repository
    ) as session:
        session.deployer.pause = 0.01
        await live_through(session, repository, ask)
        await remove_everything(session)
    assert not host.state.apps
    assert not host.state.stores
    assert not host.state.networks
    assert GREETING not in " ".join(" ".join(line) for line in host.log)
