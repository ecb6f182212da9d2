"""A whole life on real servers: split, switches, abort, finalize; nothing is lost, nothing is left."""

from __future__ import annotations

from pathlib import Path

import asyncpg
import pytest

from migrate.split.abort import abort_plan, leftovers
from migrate.split.finalize import finalize_plan
from migrate.split.model import RefusedError, StateError
from migrate.split.names import Direction, Side
from migrate.split.old_tables import drop_old_tables
from migrate.split.operations import run_plan, run_split, run_switch
from migrate.split.status import read_status
from migrate.split.verify.verification import verify
from migrate.steps import StepFailedError
from shared.states import DataState
from tests.support.split_lab import Pair, judge, workload
from tests.support.split_servers import SplitServers

pytestmark = pytest.mark.timeout(300)

CATALOGUE = """
SELECT string_agg(line, E'\\n' ORDER BY line) FROM (
  SELECT relkind::text || ' ' || relname AS line FROM pg_class WHERE relnamespace = 'public'::regnamespace
  UNION ALL SELECT 'trigger ' || tgname || tgenabled::text || ' ' || tgrelid::regclass FROM pg_trigger
    WHERE NOT tgisinternal AND tgrelid::regclass::text NOT LIKE 'strangler.%'
  UNION ALL SELECT 'constraint ' || conname || convalidated || pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace
  UNION ALL SELECT 'schema ' || nspname FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_%'
  UNION ALL SELECT 'function ' || oid::regprocedure FROM pg_proc WHERE pronamespace = 'public'::regnamespace
  UNION ALL SELECT 'type ' || typname FROM pg_type WHERE typnamespace = 'public'::regnamespace AND typtype = 'e'
  UNION ALL SELECT 'publication ' || pubname FROM pg_publication
  UNION ALL SELECT 'subscription ' || subname FROM pg_subscription s
    WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())
  UNION ALL SELECT 'slot ' || slot_name FROM pg_replication_slots WHERE database = current_database()
) AS c (line)
"""


async def catalogue(pair: Pair, side: Side) -> str:
    return await pair.fetchval(side, CATALOGUE)


@pytest.mark.parametrize("one_cluster", [False, True], ids=["two servers", "one cluster"])
async def test_tables_go_and_come_back_under_traffic_and_nothing_is_lost(
    split_servers: SplitServers, one_cluster: bool
) -> None:
    async with (
        split_servers.pair(one_cluster=one_cluster) as pair,
        workload(pair, writes_per_second=120, bulk_rows=100, bulk_pause_seconds=0.3) as clients,
        pair.context() as context,
    ):
        await run_split(context)
        for direction in (Direction.FORWARD, Direction.REVERSE, Direction.FORWARD):
            outcome, report = await run_switch(context, direction)
            assert report["pause_ms"] is not None
            assert outcome.data["proof"]["lost"] == 0
            assert outcome.data["proof"]["acknowledged"] > 0
        report = await clients.stop()
        assert report["errors"] == []
        assert report["writes"] > 50
        result = await verify(context, Direction.REVERSE)
        assert result.is_equal
        for side in Side:
            assert await judge(pair, report, side) == {"lost": [], "stale": [], "resurrected": []}
        placement = await pair.desk.placement()
        assert (placement.state, placement.epoch) == (DataState.OWN, 4)


async def test_an_abort_leaves_both_databases_as_they_were(
    split_servers: SplitServers, tmp_path: Path
) -> None:
    async with split_servers.pair() as pair, pair.context() as context:
        before = {side: await catalogue(pair, side) for side in Side}
        await run_split(context)
        await run_switch(context, Direction.FORWARD)
        with pytest.raises(StepFailedError) as caught:
            await run_plan(context, abort_plan(tmp_path))
        assert isinstance(caught.value.__cause__, StateError)
        await run_switch(context, Direction.REVERSE)
        outcome = await run_plan(context, abort_plan(tmp_path))
        assert outcome.data["backup"]["rows"]["messages"] == 800
        assert await leftovers(context) == {"shared": [], "own": []}
        assert {side: await catalogue(pair, side) for side in Side} == before
        assert (await pair.desk.placement()).state is DataState.SHARED
        assert (await run_plan(context, abort_plan(tmp_path))).applied == ("shared_owns",)


async def test_finalize_renames_what_was_left_behind_and_drops_it_after_a_backup(
    split_servers: SplitServers, tmp_path: Path
) -> None:
    async with split_servers.pair() as pair, pair.context() as context:
        await run_split(context)
        await run_switch(context, Direction.FORWARD)
        with pytest.raises(StepFailedError) as caught:
            await run_plan(context, finalize_plan(7.0, tmp_path))
        assert caught.value.step == "silent"
        outcome = await run_plan(context, finalize_plan(0.0, tmp_path))
        for side in Side:
            lines = (await catalogue(pair, side)).splitlines()
            left = [line for line in lines if "split" in line and "_split_old_" not in line]
            assert left == []
            assert not [line for line in lines if line.startswith(("slot", "pub", "sub"))]
        assert outcome.data["backup"]["verified_at"]
        assert outcome.data["backup"]["rows"] == outcome.data["backup"]["rows"] | {"messages": 800}
        assert await leftovers(context) == {"shared": [], "own": []}
        with pytest.raises(asyncpg.UndefinedTableError):
            await pair.fetchval(Side.SHARED, "SELECT count(*) FROM public.messages")
        assert await pair.fetchval(Side.SHARED, "SELECT count(*) FROM public.inbox") == 50
        assert await pair.fetchval(Side.OWN, "SELECT count(*) FROM public.messages") == 800
        await pair.execute(
            Side.OWN, "INSERT INTO public.archive (body) VALUES ('written by the owner')"
        )
        assert (await read_status(context)).next_command == "migrate db finalize chat --drop"
        report = await drop_old_tables(context, tmp_path)
        assert len(report["dropped"]) == 4
        assert report["backup"]["verified_at"]  # restored into a scratch database and compared
        assert (Path(report["backup"]["folder"]) / "backup.json").exists()
        assert (await drop_old_tables(context, tmp_path)) == {"dropped": []}
        assert (await pair.desk.placement()).state is DataState.FINAL


async def test_a_split_takes_over_empty_tables_that_the_service_has_made_itself(
    split_servers: SplitServers, tmp_path: Path
) -> None:
    async with split_servers.pair() as pair, pair.context() as context:
        own_schema = (
            "CREATE TABLE inbox (consumer text NOT NULL, event_id uuid NOT NULL, PRIMARY KEY (consumer, event_id));"
            "CREATE TABLE archive (id serial PRIMARY KEY, body text NOT NULL, touched int NOT NULL DEFAULT 0);"
            "INSERT INTO inbox VALUES ('other', gen_random_uuid())"
        )
        await pair.execute(Side.OWN, own_schema)
        before = await catalogue(pair, Side.OWN)
        await run_split(context)
        assert await pair.fetchval(Side.OWN, "SELECT count(*) FROM public.inbox") == 51
        assert (await verify(context, Direction.FORWARD)).is_equal
        await run_plan(context, abort_plan(tmp_path))
        assert await catalogue(pair, Side.OWN) == before
        assert await pair.fetchval(Side.OWN, "SELECT count(*) FROM public.inbox") == 1
        assert await pair.fetchval(Side.OWN, "SELECT count(*) FROM public.archive") == 0


async def test_a_split_refuses_tables_that_already_have_rows_on_the_own_database(
    split_servers: SplitServers,
) -> None:
    async with split_servers.pair() as pair, pair.context() as context:
        await pair.execute(
            Side.OWN,
            "CREATE TABLE archive (id int PRIMARY KEY, body varchar(9)); INSERT INTO archive VALUES (1, 'x')",
        )
        before = {side: await catalogue(pair, side) for side in Side}
        with pytest.raises(StepFailedError) as caught:
            await run_split(context)
        assert isinstance(caught.value.__cause__, RefusedError)
        assert len(caught.value.__cause__.reasons) == 3
        assert {side: await catalogue(pair, side) for side in Side} == before


async def test_running_a_finished_switch_again_changes_nothing(split_servers: SplitServers) -> None:
    async with split_servers.pair() as pair, pair.context() as context:
        await run_split(context)
        await run_switch(context, Direction.FORWARD)
        epoch = (await pair.desk.placement()).epoch
        outcome, _ = await run_switch(context, Direction.FORWARD)
        assert set(outcome.applied) <= {"everywhere", "armed", "watch_reads"}
        assert (await pair.desk.placement()).epoch == epoch
