"""A real Dokku host: a small system in every way, then the shipped one through all phases.

Run it with: DOKKU_TEST_HOST=dokku@dokku.example.com pytest tests/acceptance/dokku/test_real_host.py
The host needs Dokku 0.38 with the plugins of dokku/host-setup.sh, the key of this shell, and none of the
apps of the manifest; everything that is made is removed again. The public host of the phases is
DOKKU_TEST_DOMAIN, a name that leads to that machine; else one that sslip.io derives from its address.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from pathlib import Path

import pytest

from migrate.dokku.argv import command
from migrate.dokku.doctor import Level, examine
from migrate.dokku.phases.commands import OperatorCommands
from migrate.dokku.phases.world import World
from migrate.dokku.session import Session, find_target, open_session
from migrate.dokku.transport import must
from shared.manifest import load_manifest, parse_manifest
from tests.dokku_host.all_phases import (
    Heard,
    asked_at,
    live_through_all,
    named,
    present,
    remove_all,
)
from tests.dokku_host.operator_side import ROOT
from tests.dokku_host.scenario import (
    APPS,
    GREETING,
    MANIFEST,
    live_through,
    make_repository,
    remove_everything,
)

#: Run in a one-off container of the front: only a network from creation resolves the other app there.
CALL = "import os,urllib.request as u;print(u.urlopen(os.environ['MONOLITH_URL']).read().decode())"
#: Nobody but this test uses the host, so a short silence proves as much as a long one, in minutes.
QUIET_MINUTES = 0.5
#: Longest wait that a phase asks for, in seconds: nobody but this test sends requests.
SOAK_SECONDS = 2.0


async def call_the_other_app(session: Session) -> str:
    answer = await must(
        session.transport,
        command("run", "--no-tty", APPS[1], "python", "-c", CALL, timeout_seconds=300),
    )
    return answer.text.strip().splitlines()[-1]


@pytest.mark.timeout(1800)
async def test_a_real_host_is_provisioned_deployed_mended_and_rolled_back(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "repository")
    environment = {**os.environ, "STRANGLER_TEST_GREETING": GREETING}
    host = os.environ["DOKKU_TEST_HOST"]
    async with open_session(
        parse_manifest(MANIFEST), host, environment=environment, folder=repository
    ) as session:
        await remove_everything(session)
        try:
            await live_through(session, repository, call_the_other_app)
        finally:
            await remove_everything(session)


class Patient(Heard):
    """Waits a little where a phase waits long."""

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        await asyncio.sleep(min(seconds, SOAK_SECONDS))


@pytest.mark.timeout(4 * 3600)
async def test_all_phases_on_a_real_host(tmp_path: Path) -> None:
    shipped = load_manifest(ROOT / "migration.toml")
    assert shipped.dokku is not None
    host = os.environ["DOKKU_TEST_HOST"]
    address = socket.gethostbyname(find_target(shipped.dokku, host, {}).host)
    domain = os.environ.get("DOKKU_TEST_DOMAIN") or f"{address.replace('.', '-')}.sslip.io"
    environment = {
        **os.environ,
        "JWT_SECRETS": secrets.token_hex(32),
        "ROUTER_ADMIN_TOKEN": secrets.token_hex(32),
    }
    manifest = asked_at(named(shipped, domain), f"http://{domain}", QUIET_MINUTES)
    heard = Patient()
    async with open_session(manifest, host, environment=environment, folder=ROOT) as session:
        findings = await examine(session)
        assert not [f for f in findings if f.level is Level.BAD], findings
        there = await present(session)
        assert not there, f"the host has {there}; name one that is only for this test"
        world = World(
            session, OperatorCommands(session.transport, "operator"),
            say=heard.said.append, confirm=heard.yes, backups=tmp_path / "backups",
            sleep=heard.sleep,
        )  # fmt: skip
        try:
            await live_through_all(world)
        finally:
            await remove_all(session)
