"""Known traps of an online split that need a pair of their own."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from migrate.split.abort import abort_plan, leftovers
from migrate.split.context import SplitContext
from migrate.split.model import Endpoint, RefusedError, SplitError, SplitSpec
from migrate.split.names import Direction, Side
from migrate.split.operations import run_plan, run_split, run_switch
from migrate.split.preflight import preflight
from migrate.split.publication import drop_subscription, find_subscription
from migrate.split.verify.verification import verify
from migrate.steps import StepFailedError
from shared.states import DataState
from tests.support.split_lab import PATIENT
from tests.support.split_servers import SplitServers


async def test_trap_06_a_table_without_replica_identity_is_refused_before_it_is_published(
    split_servers: SplitServers,
) -> None:
    spec = SplitSpec.of("chat", ["notes"])
    schema = "CREATE TABLE notes (id int)"
    async with split_servers.pair(schema=schema, spec=spec) as pair, pair.context() as context:
        with pytest.raises(StepFailedError) as caught:
            await run_split(context)
        assert isinstance(caught.value.__cause__, RefusedError)
        assert "replica identity" in caught.value.__cause__.reasons[0]
        await pair.execute(Side.SHARED, "INSERT INTO notes VALUES (1); UPDATE notes SET id = 2")


async def test_trap_07_row_security_hides_no_row_from_the_copy_and_refuses_a_role_that_it_would(
    split_servers: SplitServers,
) -> None:
    schema = (
        "CREATE TABLE notes (id int PRIMARY KEY, mine bool); INSERT INTO notes SELECT g, g % 2 = 0"
        " FROM generate_series(1, 100) g; ALTER TABLE notes ENABLE ROW LEVEL SECURITY;"
        " ALTER TABLE notes FORCE ROW LEVEL SECURITY; CREATE POLICY half ON notes USING (mine)"
    )
    spec = SplitSpec.of("chat", ["notes"])
    async with split_servers.pair(schema=schema, spec=spec) as pair, pair.context() as context:
        await run_split(context)
        assert await pair.fetchval(Side.OWN, "SELECT count(*) FROM notes") == 100
        assert await pair.fetchval(Side.OWN, "SELECT polname::text FROM pg_policy") == "half"
        weak = replace(context.facts[Side.SHARED], is_superuser=False, bypasses_rls=False)
        context.facts[Side.SHARED] = weak
        assert "row_security" in {f.check for f in await preflight(context) if f.weight == "refuse"}


async def test_trap_08_a_subscription_inside_one_cluster_does_not_hang(
    split_servers: SplitServers,
) -> None:
    async with split_servers.pair(one_cluster=True) as pair, pair.context() as context:
        async with asyncio.timeout(60):
            await run_split(context)
        found = await find_subscription(context, Direction.FORWARD)
        assert found is not None
        assert found.enabled


async def test_trap_19_equal_rows_have_equal_sums_and_two_equal_wrong_rows_do_not_cancel_out(
    split_servers: SplitServers,
) -> None:
    schema = (
        "CREATE TYPE filler AS ENUM ('x'); CREATE TYPE mood AS ENUM ('a', 'b');"
        "CREATE TABLE odd (id int PRIMARY KEY, mood mood, moods mood[], doc jsonb, raw json, n numeric, f float8,"
        " t timestamptz, d interval, a text[], b bytea, r int4range, c char(3), ip inet, bits varbit, p point, x xml);"
        "INSERT INTO odd SELECT g, 'b', '{a,b}', '{\"k\": 1.50}', '{\"k\":  1}', 1.50, 'NaN', now(), '1 day 25:00',"
        " '{x,NULL}', '\\x00ff', '[1,5)', 'ab', '10.0.0.1', B'101', '(1,2)', '<a/>' FROM generate_series(1, 20) g"
    )
    spec = SplitSpec.of("chat", ["odd"])
    async with split_servers.pair(schema=schema, spec=spec) as pair, pair.context() as context:
        await run_split(context)
        assert (await verify(context, Direction.FORWARD)).is_equal
        await pair.execute(
            Side.OWN,
            "SET session_replication_role = replica; UPDATE odd SET n = 1.5 WHERE id IN (1, 2);"
            "DELETE FROM odd WHERE id IN (3, 4)",
        )
        result = await verify(context, Direction.FORWARD)
        assert {difference.key for difference in result.verdicts[0].differences} == {
            ("1",), ("2",), ("3",), ("4",),
        }  # fmt: skip


async def test_trap_21_a_partitioned_table_may_be_cut_differently_on_the_own_database(
    split_servers: SplitServers,
) -> None:
    root = "CREATE TABLE parts (id int, day date, body text, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);"
    schema = (
        f"{root} CREATE TABLE parts_old PARTITION OF parts FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');"
        "CREATE TABLE parts_new PARTITION OF parts FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');"
        "INSERT INTO parts SELECT g, DATE '2024-06-01' + g, 'b' FROM generate_series(1, 400) g"
    )
    spec = SplitSpec.of("chat", ["parts"])
    async with split_servers.pair(schema=schema, spec=spec) as pair, pair.context() as context:
        await pair.execute(Side.OWN, f"{root} CREATE TABLE parts_all PARTITION OF parts DEFAULT")
        await run_split(context)
        await pair.execute(
            Side.SHARED, "UPDATE parts SET body = 'c' WHERE id = 7; DELETE FROM parts WHERE id = 8"
        )
        await run_switch(context, Direction.FORWARD)
        await pair.execute(
            Side.OWN, "INSERT INTO parts VALUES (1000, '2025-03-03', 'from the own side')"
        )
        await run_switch(context, Direction.REVERSE)
        assert await pair.fetchval(Side.SHARED, "SELECT count(*) FROM parts") == 400
        assert (await verify(context, Direction.FORWARD)).is_equal


async def test_trap_22_a_way_back_that_cannot_work_fails_the_split_and_not_the_rollback(
    split_servers: SplitServers,
) -> None:
    async with split_servers.pair() as pair:
        broken = Endpoint(Side.OWN, pair.own, "postgresql://postgres@127.0.0.1:1/nowhere")
        context = await SplitContext.open(
            pair.spec, pair.endpoint(Side.SHARED), broken, limits=PATIENT, desk=pair.desk
        )
        with pytest.raises(StepFailedError) as caught:
            await run_split(context)
        await context.close()
        assert caught.value.step == "way_back"
        assert (await pair.desk.placement()).state is DataState.COPYING
        async with pair.context() as mended:
            await run_split(mended)
            assert (await pair.desk.placement()).state is DataState.FOLLOWING


async def test_trap_27_everything_is_dropped_in_an_order_that_works_while_the_peer_is_away(
    split_servers: SplitServers, tmp_path: Path
) -> None:
    async with split_servers.pair() as pair, pair.context() as context:
        await run_split(context)
        name = context.names.subscription(Direction.FORWARD)
        await pair.execute(
            Side.OWN, f"ALTER SUBSCRIPTION \"{name}\" CONNECTION 'host=127.0.0.1 port=1 dbname=x'"
        )
        async with asyncio.timeout(60):
            await drop_subscription(context, Direction.FORWARD)
            await run_plan(context, abort_plan(tmp_path))
        assert await leftovers(context) == {"shared": [], "own": []}


async def test_two_sides_that_are_one_database_are_refused(split_servers: SplitServers) -> None:
    async with split_servers.pair() as pair:
        same = Endpoint(Side.OWN, pair.shared)
        with pytest.raises(SplitError):
            await SplitContext.open(pair.spec, pair.endpoint(Side.SHARED), same)
