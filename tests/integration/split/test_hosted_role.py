"""A whole life with a role as hosted PostgreSQL gives it: replication, but no superuser rights."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from migrate.split.abort import abort_plan, leftovers
from migrate.split.names import Direction, Side
from migrate.split.operations import run_plan, run_split, run_switch
from migrate.split.preflight import preflight
from migrate.split.verify.verification import verify
from tests.support.split_lab import Pair, judge, pair_of, workload
from tests.support.split_servers import SplitServers

pytestmark = pytest.mark.timeout(300)

ROLE = "hosted"
#: What such a host offers instead of the right to create subscriptions: functions that act for the role.
MANAGEMENT = """
CREATE SCHEMA supabase_subscription_mgmt;
CREATE FUNCTION supabase_subscription_mgmt.pg_create_subscription(
  name text, conninfo text, publication text, slot text, copy_data boolean DEFAULT true, origin text DEFAULT 'any')
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$ BEGIN
  EXECUTE format('CREATE SUBSCRIPTION %I CONNECTION %L PUBLICATION %I WITH (slot_name = %L, create_slot = false,'
    ' copy_data = %s)', name, conninfo, publication, slot, copy_data::text); END $$;
CREATE FUNCTION supabase_subscription_mgmt.pg_alter_subscription_disable(name text)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS
$$ BEGIN EXECUTE format('ALTER SUBSCRIPTION %I DISABLE', name); END $$;
CREATE FUNCTION supabase_subscription_mgmt.pg_alter_subscription_enable(name text)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS
$$ BEGIN EXECUTE format('ALTER SUBSCRIPTION %I ENABLE', name); END $$;
CREATE FUNCTION supabase_subscription_mgmt.pg_drop_subscription(name text)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$ BEGIN
  EXECUTE format('ALTER SUBSCRIPTION %I DISABLE', name);
  EXECUTE format('ALTER SUBSCRIPTION %I SET (slot_name = NONE)', name);
  EXECUTE format('DROP SUBSCRIPTION %I', name); END $$;
GRANT USAGE ON SCHEMA supabase_subscription_mgmt TO hosted;
"""


def as_role(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{ROLE}:hosted@{parts.hostname}:{parts.port}"))


@asynccontextmanager
async def hosted_pair(servers: SplitServers) -> AsyncIterator[Pair]:
    """Databases owned by the role, with the host's functions made by a superuser."""
    for side in Side:
        admin = await asyncpg.connect(servers.urls[side])
        exists = await admin.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", ROLE)
        if not exists:
            await admin.execute(
                f"CREATE ROLE {ROLE} LOGIN PASSWORD 'hosted' NOSUPERUSER CREATEDB CREATEROLE REPLICATION BYPASSRLS"
            )
        await admin.close()
    urls = {side: as_role(servers.urls[side]) for side in Side}
    async with pair_of(
        urls[Side.SHARED], urls[Side.OWN], removed_by={u: servers.urls[s] for s, u in urls.items()}
    ) as pair:
        for side in Side:
            database = urlsplit(pair.endpoint(side).dsn).path
            admin = await asyncpg.connect(
                urlunsplit(urlsplit(servers.urls[side])._replace(path=database))
            )
            await admin.execute(MANAGEMENT)
            await admin.close()
        yield pair


@pytest.fixture
async def hosted(split_servers: SplitServers) -> AsyncIterator[Pair]:
    async with hosted_pair(split_servers) as pair:
        yield pair


async def test_a_role_without_superuser_rights_splits_switches_and_aborts(
    hosted: Pair, tmp_path: Path
) -> None:
    async with workload(hosted, writes_per_second=60) as clients, hosted.context() as context:
        assert not context.facts[Side.OWN].is_superuser
        found = {finding.check: finding for finding in await preflight(context)}
        assert found["reduced_rights"].weight == "warn"
        assert not [finding for finding in found.values() if finding.weight == "refuse"]
        await run_split(context)
        for direction in (Direction.FORWARD, Direction.REVERSE):
            outcome, _ = await run_switch(context, direction)
            assert outcome.data["proof"]["lost"] == 0
        report = await clients.stop()
        assert report["errors"] == []
        assert (await verify(context, Direction.FORWARD)).is_equal
        for side in Side:
            assert await judge(hosted, report, side) == {"lost": [], "stale": [], "resurrected": []}
        await run_plan(context, abort_plan(tmp_path))
        assert await leftovers(context) == {"shared": [], "own": []}
