"""Guards of a split: WAL, disk, poolers, abandoned copies, comparisons that need not be made again."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from migrate.split.copy import WalLimitError
from migrate.split.disk import ask_server, free_bytes, judge_disk, parse_df
from migrate.split.names import Direction, Side
from migrate.split.operations import run_split
from migrate.split.preflight import judge_session, preflight
from migrate.split.schema_copy import run_past_deadlocks
from migrate.split.verify.verification import verify
from migrate.steps import Boundary, StepFailedError
from shared.states import DataState
from tests.support.split_child import start_child
from tests.support.split_servers import SplitServers


async def test_a_copy_stops_before_its_slot_fills_the_disk_with_wal_and_goes_on_with_more_room(
    split_servers: SplitServers,
) -> None:
    async with split_servers.pair() as pair, pair.context() as context:
        usual = context.limits
        context.limits = replace(usual, max_retained_wal_bytes=-1)
        with pytest.raises(StepFailedError) as caught:
            await run_split(context)
        assert isinstance(caught.value.__cause__, WalLimitError)
        assert caught.value.step == "copy"
        context.limits = usual
        await run_split(context)
        assert (await pair.desk.placement()).state is DataState.FOLLOWING
        assert (await verify(context, Direction.FORWARD)).is_equal
        names = {str(table.name) for table in pair.spec.tables}
        again = await verify(context, Direction.FORWARD, skip_younger_than_minutes=10.0)
        assert set(again.skipped) == names


async def test_a_copy_that_nobody_comes_back_for_leaves_no_slot_and_can_start_over(
    split_servers: SplitServers,
) -> None:
    async with split_servers.pair() as pair, pair.context() as context:
        await start_child(pair, "split", "copy", Boundary.STARTED).wait()
        slot = context.names.slot(Direction.FORWARD)
        there = f"SELECT count(*) FROM pg_replication_slots WHERE slot_name = '{slot}'"
        assert await pair.fetchval(Side.SHARED, there) == 1
        table = context.names.relation("snapshot")
        await pair.execute(Side.SHARED, f"UPDATE {table} SET lease_until = now() - interval '1 s'")
        async with asyncio.timeout(60):
            while await pair.fetchval(Side.SHARED, there):
                await asyncio.sleep(0.1)
        await run_split(context)
        assert (await verify(context, Direction.FORWARD)).is_equal


async def test_a_foreign_key_gives_way_to_the_writer_it_is_deadlocked_with_and_is_built_then(
    split_servers: SplitServers,
) -> None:
    """The apply worker locks messages after conversations, the new key the other way round."""
    key = (
        "ALTER TABLE messages ADD CONSTRAINT again FOREIGN KEY (conversation_id)"
        " REFERENCES conversations (id) NOT VALID"
    )
    async with (
        split_servers.pair() as pair,
        pair.connection(Side.SHARED, deadlock_timeout="20ms") as builder,
        pair.connection(Side.SHARED, deadlock_timeout="60s") as writer,
    ):
        await writer.execute("BEGIN; UPDATE conversations SET title = 'locked'")
        building = asyncio.create_task(run_past_deadlocks(builder, key, 60.0))
        waits = "SELECT count(*) FROM pg_locks WHERE pid = $1 AND NOT granted"
        async with asyncio.timeout(30):
            while not await pair.fetchval(Side.SHARED, waits, builder.get_server_pid()):
                await asyncio.sleep(0.005)
        await writer.execute("UPDATE messages SET content = content WHERE seq = 1; COMMIT")
        await building
        there = "SELECT count(*) FROM pg_constraint WHERE conname = 'again'"
        assert await pair.fetchval(Side.SHARED, there) == 1


async def test_free_disk_is_read_on_this_machine_and_by_the_server_itself(
    split_servers: SplitServers,
) -> None:
    async with split_servers.pair() as pair, pair.context() as context:
        here = await free_bytes(context)
        directory = context.facts[Side.OWN].data_directory
        assert here is not None
        assert directory is not None
        assert await ask_server(context, directory)
        assert await ask_server(context, directory + "/it's not there") is None
        assert "pooler" not in {finding.check for finding in await preflight(context)}


def test_the_output_of_df_is_read() -> None:
    head = "Filesystem 1024-blocks Used Available Capacity Mounted on"
    assert parse_df([head, "/dev/sda1 100 60 40 60% /var/lib/my data"]) == 40 * 1024
    assert parse_df([]) is None
    assert parse_df(["df: no such file"]) is None


def test_too_little_disk_is_refused_and_an_unknown_one_is_told() -> None:
    assert [finding.weight for finding in judge_disk(1000, 1099)] == ["refuse"]
    assert judge_disk(1000, 1100) == []
    assert [finding.weight for finding in judge_disk(1000, None)] == ["warn"]


def test_a_pooler_in_between_is_refused() -> None:
    assert judge_session(Side.OWN, 7, 7) == []
    assert [finding.check for finding in judge_session(Side.OWN, 7, 8)] == ["pooler"]
