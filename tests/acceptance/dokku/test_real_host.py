"""Apply, deploy, drift and rollback on a real Dokku host; everything that it makes is removed again.

Run it with: DOKKU_TEST_HOST=dokku@dokku.example.com pytest tests/acceptance/dokku/test_real_host.py
The host needs Dokku 0.38 with the plugins of dokku/host-setup.sh, and the key of this shell.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from migrate.dokku.argv import command
from migrate.dokku.session import Session, open_session
from migrate.dokku.transport import must
from shared.manifest import parse_manifest
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
