"""All eight phases over real OpenSSH and real pushes: from an empty host to a stopped monolith."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from migrate.dokku.grammar import check
from migrate.dokku.phases.commands import OperatorCommands
from migrate.dokku.phases.world import World
from migrate.dokku.session import Session, open_session
from shared.manifest import Manifest
from tests.dokku_host.all_phases import Heard, asked_at, live_through_all, remove_all
from tests.dokku_host.host import FakeHost
from tests.dokku_host.operator_side import ROOT
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

RELATIONS = (
    "SELECT relname AS name FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    " AND relkind IN ('r', 'p', 'v')"
)


@pytest.fixture
def public(host: FakeHost, manifest: Manifest) -> Iterator[str]:
    with public_host(host, manifest.project.public_host) as url:
        yield url


async def excess_rights(host: FakeHost, session: Session) -> list[str]:
    """Rights on real tables of the shared database that roles of services have and should not, or lack."""
    store = session.section.shared_store or ""
    database = host.state.stores["postgres", store].database
    found: list[str] = []
    connection = await asyncpg.connect(host.databases.dsn(database))
    try:
        tables = [row["name"] for row in await connection.fetch(RELATIONS)]
        assert {"users", "outbox", "maintenance_modes", "conversations"} <= set(tables)
        for service in session.manifest.services.values():
            app = session.desired.apps[service.app]
            (role,) = (link.role for link in app.links if link.store == store)
            rights = [row for row in app.rights[store] if row.schema_name == "public"]
            reads = {table for row in rights for table in row.tables}
            writes = {table for row in rights if row.rights == "write" for table in row.tables}
            for table in tables:
                may = await connection.fetchrow(
                    "SELECT has_table_privilege($1, $2, 'SELECT') AS read,"
                    " has_table_privilege($1, $2, 'INSERT, UPDATE, DELETE, TRUNCATE') AS write",
                    role,
                    f"public.{table}",
                )
                assert may is not None
                if (may["read"], may["write"]) != (table in reads, table in writes):
                    found.append(f"{role} on {table}: {dict(may)}")
    finally:
        await connection.close()
    return found


async def told_by_the_command(environment: dict[str, str], checkout: Path) -> None:
    """What `migrate phase` says about the end, typed as an operator types it."""

    async def typed(*words: str) -> str:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "migrate.cli", "--manifest", str(ROOT / "migration.toml"), *words,
            cwd=checkout, env={**environment, "PYTHONPATH": str(ROOT)},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await asyncio.wait_for(process.communicate(), 100)
        assert process.returncode == 0, err.decode()
        return out.decode()

    rows = json.loads(await typed("phase", "list", "--json"))
    assert {row["status"] for row in rows} == {"completed"}
    shown = await typed("phase", "show", "8", "--live")
    assert "stop api-monolith  [already]" in shown


@pytest.mark.timeout(600)
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
        assert not await excess_rights(host, session)
        await told_by_the_command(environment, checkout)
        await remove_all(session)
    assert not host.state.apps
    assert not host.state.stores
