"""Known traps of an online split, each met by one pair that follows and that every test leaves following."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import asyncpg
import pytest

from migrate.split import cleaner
from migrate.split.connection import connected
from migrate.split.fence import FenceState, fence_state, fenced_tables
from migrate.split.follow_steps import lock_order
from migrate.split.gate import GateClosedError
from migrate.split.inspect import Owned, inspect
from migrate.split.locks import LockNotTakenError, LockOrder, lock_tables
from migrate.split.names import Direction, Side, TableName
from migrate.split.operations import run_switch
from migrate.split.preflight import preflight
from migrate.split.slots import SlotBlockedError, create_slot, create_slot_with_snapshot, find_slot
from migrate.split.stream import read_lag, token_round_trip
from migrate.split.switch import read_ownership
from migrate.split.verify.barrier import paired_snapshots
from migrate.split.verify.verification import verify
from migrate.steps import StepFailedError
from tests.integration.split.conftest import Followed
from tests.support.split_lab import PATIENT, with_database

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]


async def test_trap_01_a_write_that_commits_while_the_lock_is_waited_for_is_carried_over(
    followed: Followed,
) -> None:
    pair, context = followed.pair, followed.context
    context.limits = replace(PATIENT, old_transaction_seconds=600.0)
    async with pair.connection(Side.SHARED) as writer:
        transaction = writer.transaction()
        await transaction.start()
        await writer.execute("INSERT INTO archive (body) VALUES ('late')")
        switch = asyncio.create_task(run_switch(context, Direction.FORWARD))
        async with asyncio.timeout(30):
            while not await pair.fetchval(
                Side.SHARED,
                "SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'ShareRowExclusiveLock'",
            ):
                await asyncio.sleep(0.005)
        await transaction.commit()
        await switch
    assert await pair.fetchval(Side.OWN, "SELECT count(*) FROM archive WHERE body = 'late'") == 1
    await run_switch(context, Direction.REVERSE)


async def test_trap_03_an_old_repeatable_read_transaction_meets_the_fence(
    followed: Followed,
) -> None:
    pair, context = followed.pair, followed.context
    async with pair.connection(Side.SHARED) as writer:
        await writer.execute("PREPARE leak AS INSERT INTO archive (body) VALUES ('leak')")
        await writer.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        await writer.fetchval("SELECT count(*) FROM messages")
        await run_switch(context, Direction.FORWARD)
        with pytest.raises(asyncpg.PostgresError) as caught:
            await writer.execute("EXECUTE leak")
        assert caught.value.sqlstate == "SP001"
    await run_switch(context, Direction.REVERSE)


async def test_trap_04_lag_is_told_by_the_token_and_by_what_was_confirmed(
    followed: Followed,
) -> None:
    pair, context = followed.pair, followed.context
    async with followed.frozen_worker():
        await pair.execute(Side.SHARED, "INSERT INTO archive (body) VALUES ('behind')")
        lag = await read_lag(context, Direction.FORWARD, token_seconds=0.2)
        assert lag.behind_bytes
        assert lag.round_trip_ms is None
    lag = await read_lag(context, Direction.FORWARD, token_seconds=20.0)
    assert lag.round_trip_ms is not None


async def test_trap_05_a_stalled_stream_without_traffic_does_not_pass_the_gate(
    followed: Followed,
) -> None:
    context = followed.context
    context.limits = replace(PATIENT, gate_seconds=0.2)
    async with followed.frozen_worker():
        with pytest.raises(StepFailedError) as caught:
            await run_switch(context, Direction.FORWARD)
    assert isinstance(caught.value.__cause__, GateClosedError)
    assert (await read_ownership(context)).owner is Side.SHARED
    assert (
        await find_slot(await context.control(Side.OWN), context.names.slot(Direction.REVERSE))
        is None
    )


async def test_trap_09_a_slot_that_waits_for_a_transaction_names_it_and_leaves_nothing(
    followed: Followed,
) -> None:
    pair, context = followed.pair, followed.context
    context.limits = replace(PATIENT, slot_seconds=0.3)
    elsewhere = with_database(pair.own, "postgres")
    blocker = await asyncpg.connect(elsewhere, server_settings={"application_name": "nightly job"})
    try:
        await blocker.execute("BEGIN; SELECT pg_current_xact_id()")
        with pytest.raises(SlotBlockedError) as caught:
            await create_slot(context, Direction.REVERSE)
        assert "nightly job" in caught.value.culprits[0]
    finally:
        await blocker.close()
    assert (
        await find_slot(await context.control(Side.OWN), context.names.slot(Direction.REVERSE))
        is None
    )


async def test_trap_10_the_lock_learns_the_order_of_writers_who_lock_the_other_way_round(
    followed: Followed,
) -> None:
    pair, context = followed.pair, followed.context
    order = await lock_order(context, Side.SHARED)
    names = [str(name) for name, _ in order.tables]
    order = LockOrder(sorted(order.tables, key=lambda entry: str(entry[0]) != "conversations"))
    first_in = asyncio.Event()

    async def writer() -> None:
        async with pair.connection(Side.SHARED) as connection, connection.transaction():
            await connection.execute("UPDATE messages SET version = version WHERE seq = 1")
            first_in.set()
            await asyncio.sleep(0.15)
            await connection.execute("UPDATE conversations SET title = title")

    task = asyncio.create_task(writer())
    await first_in.wait()
    async with (
        connected(pair.endpoint(Side.SHARED)) as locker,
        connected(pair.endpoint(Side.SHARED)) as monitor,
    ):
        await lock_tables(locker, monitor, order, PATIENT, is_superuser=True)
        await task  # no deadlock for the writer: the tool gives way
        await locker.execute("ROLLBACK")
    assert sorted(str(name) for name, _ in order.tables) == sorted(names)


async def test_trap_11_autovacuum_gives_way_to_the_lock(followed: Followed) -> None:
    pair, context = followed.pair, followed.context
    await pair.execute(
        Side.SHARED,
        "ALTER TABLE archive SET (autovacuum_vacuum_threshold = 1, autovacuum_vacuum_scale_factor = 0,"
        " autovacuum_vacuum_cost_limit = 1, autovacuum_vacuum_cost_delay = 100);"
        " INSERT INTO archive (body) SELECT repeat('x', 500) FROM generate_series(1, 2000);"
        " DELETE FROM archive WHERE id > 600 AND body LIKE 'xxx%'",
    )
    running = (
        "SELECT count(*) FROM pg_stat_progress_vacuum WHERE relid = 'public.archive'::regclass"
    )
    async with asyncio.timeout(60):
        while not await pair.fetchval(Side.SHARED, running):
            await asyncio.sleep(0.05)
    async with (
        connected(pair.endpoint(Side.SHARED)) as locker,
        connected(pair.endpoint(Side.SHARED)) as monitor,
    ):
        await lock_tables(
            locker, monitor, await lock_order(context, Side.SHARED), PATIENT, is_superuser=True
        )
        assert not await monitor.fetchval(running)
        await locker.execute("ROLLBACK")
    settings = "threshold", "scale_factor", "cost_limit", "cost_delay"
    names = ", ".join(f"autovacuum_vacuum_{setting}" for setting in settings)
    await pair.execute(Side.SHARED, f"ALTER TABLE archive RESET ({names})")


async def test_trap_12_the_fence_holds_a_superuser_whatever_its_transaction_says(
    followed: Followed,
) -> None:
    pair, context = followed.pair, followed.context
    await pair.execute(Side.OWN, "INSERT INTO inbox VALUES ('media', gen_random_uuid())")
    for statement in (
        "INSERT INTO archive (body) VALUES ('x')",
        "UPDATE archive SET touched = 9",
        "DELETE FROM archive",
        "TRUNCATE archive",
        "BEGIN READ WRITE; DELETE FROM archive",
        "SET default_transaction_read_only = off; DELETE FROM archive",
        "DELETE FROM inbox WHERE consumer = 'chat'",
        "UPDATE inbox SET consumer = 'chat' WHERE consumer = 'media'",
        "INSERT INTO inbox VALUES ('chat', gen_random_uuid())",
    ):
        with pytest.raises(asyncpg.PostgresError) as caught:
            await pair.execute(Side.OWN, statement)
        assert caught.value.sqlstate == "SP001", statement
    await pair.execute(Side.OWN, "DELETE FROM inbox WHERE consumer = 'media'")
    assert (
        await fence_state(await context.control(Side.OWN), context.names, fenced_tables(context))
        is FenceState.FENCED
    )


async def test_trap_13_no_fence_fires_in_the_apply_worker(followed: Followed) -> None:
    pair = followed.pair
    await followed.there_and_back()
    for side in Side:
        modes = await pair.fetchval(
            side,
            "SELECT array_agg(DISTINCT tgenabled::text) FROM pg_trigger WHERE tgname LIKE 'zz\\_split\\_fence%'",
        )
        assert set(modes) <= {"O", "D"}
    await pair.execute(Side.SHARED, "TRUNCATE message_reactions")  # replicated, past the fence
    await token_round_trip(followed.context, Direction.FORWARD, 20.0)
    assert await pair.fetchval(Side.OWN, "SELECT count(*) FROM message_reactions") == 0


async def test_trap_14_deleting_a_parent_that_stays_does_not_meet_the_fence_and_reaches_its_children(
    followed: Followed,
) -> None:
    pair, context = followed.pair, followed.context
    await run_switch(context, Direction.FORWARD)
    user = await pair.fetchval(Side.OWN, "SELECT user_id FROM conversations ORDER BY id LIMIT 1")
    async with pair.connection(Side.SHARED) as monolith:
        await monolith.execute("DELETE FROM users WHERE id = $1", user)
    children = "SELECT count(*) FROM conversations WHERE user_id = $1"
    assert await pair.fetchval(Side.OWN, children, user) == 1
    assert await cleaner.clean(context) == 1
    assert await pair.fetchval(Side.OWN, children, user) == 0
    assert await cleaner.clean(context) == 0
    await run_switch(context, Direction.REVERSE)
    assert await pair.fetchval(Side.SHARED, children, user) == 0


async def test_trap_15_the_first_insert_on_each_new_owner_draws_a_new_number(
    followed: Followed,
) -> None:
    pair, context = followed.pair, followed.context
    numbers = []
    for side, direction in (
        (Side.SHARED, None),
        (Side.OWN, Direction.FORWARD),
        (Side.SHARED, Direction.REVERSE),
    ):
        if direction is not None:
            await run_switch(context, direction)
        numbers.append(
            await pair.fetchval(side, "INSERT INTO archive (body) VALUES ('numbered') RETURNING id")
        )
        await pair.execute(
            side,
            "INSERT INTO messages (conversation_id, seq, content)"
            " SELECT id, 900000 + (random() * 1e6)::int, 'n' FROM conversations LIMIT 1",
        )
    assert numbers == sorted(set(numbers))


async def test_trap_17_no_slot_is_kept_for_nobody(followed: Followed) -> None:
    pair, context = followed.pair, followed.context
    idle = "SELECT count(*) FROM pg_replication_slots WHERE NOT active AND database = current_database()"
    await run_switch(context, Direction.FORWARD)
    assert await pair.fetchval(Side.SHARED, idle) == 0
    await run_switch(context, Direction.REVERSE)
    assert await pair.fetchval(Side.OWN, idle) == 0
    checks = {finding.check for finding in await preflight(context)}
    assert "slot_wal_unbounded" in checks


async def test_trap_18_missing_rows_are_named_and_close_the_gate_however_well_the_stream_looks(
    followed: Followed,
) -> None:
    pair, context = followed.pair, followed.context
    replica = "SET session_replication_role = replica; "
    key = await pair.fetchval(Side.OWN, "SELECT max(id) FROM archive")
    await pair.execute(Side.OWN, f"{replica} UPDATE archive SET touched = 77 WHERE id = {key}")
    await pair.execute(Side.OWN, f"{replica} DELETE FROM archive WHERE id = 1")
    await pair.execute(Side.OWN, f"{replica} INSERT INTO archive VALUES (999999, 'stray', 0)")
    result = await verify(context, Direction.FORWARD)
    verdict = next(v for v in result.verdicts if str(v.table) == "archive")
    assert not result.is_equal
    assert {difference.key: str(difference) for difference in verdict.differences} == {
        ("1",): "(1) is only on the shared database",
        ("999999",): "(999999) is only on the own database",
        (str(key),): f"({key}) differs in touched: shared '0', own '77'",
    }
    context.limits = replace(PATIENT, gate_seconds=0.1)
    with pytest.raises(StepFailedError) as caught:
        await run_switch(context, Direction.FORWARD)
    assert isinstance(caught.value.__cause__, GateClosedError)
    body = await pair.fetchval(Side.SHARED, "SELECT body FROM archive WHERE id = 1")
    await pair.execute(
        Side.OWN,
        f"{replica} UPDATE archive SET touched = 0 WHERE id = {key};"
        " DELETE FROM archive WHERE id = 999999;"
        f" INSERT INTO archive VALUES (1, '{body}')",
    )
    assert (await verify(context, Direction.FORWARD)).is_equal


async def test_trap_20_a_long_writing_transaction_keeps_the_gate_closed_and_is_named(
    followed: Followed,
) -> None:
    pair, context = followed.pair, followed.context
    context.limits = replace(PATIENT, gate_seconds=0.3, old_transaction_seconds=0.0)
    async with pair.connection(Side.SHARED) as bulk:
        transaction = bulk.transaction()
        await transaction.start()
        await bulk.execute("UPDATE archive SET touched = touched")
        with pytest.raises(StepFailedError) as caught:
            await run_switch(context, Direction.FORWARD)
        await transaction.rollback()
    assert isinstance(caught.value.__cause__, GateClosedError)
    assert "UPDATE archive" in str(caught.value.__cause__.reasons)


async def test_trap_23_a_transaction_that_stays_open_makes_the_switch_give_up_without_an_error_for_it(
    followed: Followed,
) -> None:
    pair, context = followed.pair, followed.context
    context.limits = replace(
        PATIENT, old_transaction_seconds=600.0, lock_attempts=2, lock_timeout_ms=50
    )
    async with pair.connection(Side.SHARED) as writer:
        transaction = writer.transaction()
        await transaction.start()
        await writer.execute("INSERT INTO archive (body) VALUES ('patient')")
        with pytest.raises(StepFailedError) as caught:
            await run_switch(context, Direction.FORWARD)
        assert isinstance(caught.value.__cause__, LockNotTakenError)
        assert any(
            "INSERT INTO archive" in str(blocker) for blocker in caught.value.__cause__.blockers
        )
        await transaction.commit()
    assert (await read_ownership(context)).owner is Side.SHARED
    assert (await verify(context, Direction.FORWARD)).is_equal


async def test_trap_24_a_comparison_that_fails_lets_the_stream_go_on(followed: Followed) -> None:
    class BrokenError(Exception):
        pass

    with pytest.raises(BrokenError):
        async with paired_snapshots(followed.context, Direction.FORWARD):
            raise BrokenError
    assert await token_round_trip(followed.context, Direction.FORWARD, 20.0) > 0.0


async def test_trap_25_a_table_made_in_the_middle_is_reported_as_unowned(
    followed: Followed,
) -> None:
    pair = followed.pair
    await pair.execute(Side.SHARED, "CREATE TABLE brand_new (id int PRIMARY KEY)")
    owned = Owned(
        {
            "chat": tuple(table.name for table in pair.spec.tables),
            "auth": (TableName.parse("users"),),
        }
    )
    async with connected(pair.endpoint(Side.SHARED)) as connection:
        found = await inspect(connection, owned, ["chat"])
    assert [finding.subject for finding in found.unowned] == ["brand_new"]
    await pair.execute(Side.SHARED, "DROP TABLE brand_new")


async def test_trap_25_a_column_added_in_the_middle_closes_the_gate(followed: Followed) -> None:
    pair, context = followed.pair, followed.context
    await pair.execute(Side.SHARED, "ALTER TABLE archive ADD COLUMN extra int")
    context.limits = replace(PATIENT, gate_seconds=0.1)
    with pytest.raises(StepFailedError) as caught:
        await run_switch(context, Direction.FORWARD)
    assert "extra" in str(caught.value.__cause__)
    await pair.execute(Side.OWN, "ALTER TABLE archive ADD COLUMN extra int")
    context.limits = PATIENT
    await followed.there_and_back()
    for side in Side:
        await pair.execute(side, "ALTER TABLE archive DROP COLUMN extra")


async def test_trap_26_a_snapshot_comes_out_of_a_replication_connection(followed: Followed) -> None:
    endpoint = followed.pair.endpoint(Side.SHARED)
    kept = await create_slot_with_snapshot(endpoint, "trap_26", 30.0)
    async with connected(endpoint) as reader:
        async with reader.transaction(isolation="repeatable_read", readonly=True):
            await reader.execute(f"SET TRANSACTION SNAPSHOT '{kept.snapshot}'")
            assert await reader.fetchval("SELECT count(*) FROM public.users") > 0
        kept.connection.terminate()
        async with asyncio.timeout(30):
            while True:
                try:
                    await reader.execute("SELECT pg_drop_replication_slot('trap_26')")
                    break
                except asyncpg.ObjectInUseError:
                    await asyncio.sleep(0.02)
