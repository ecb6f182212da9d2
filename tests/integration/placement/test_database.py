"""Placement-aware transactions on two real databases that are fenced as a cutover fences them."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from shared.control.model import ControlState, Placement
from shared.placement import (
    Connection,
    Database,
    DatabaseUnavailableError,
    FixedPlacement,
    OwnershipError,
    PlacementUnknownError,
    PoolSettings,
    ServiceGrants,
    TableGrants,
    TablesMovedError,
    WatchedPlacement,
    open_pools,
)
from shared.states import DataState

FENCE = """
CREATE TABLE notes (id uuid PRIMARY KEY, text text NOT NULL);
CREATE TABLE secrets (id uuid PRIMARY KEY);
CREATE FUNCTION fence() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  RAISE EXCEPTION 'table % moved', tg_table_name USING ERRCODE = 'SP001'; END $$;
CREATE TRIGGER fence BEFORE INSERT OR UPDATE OR DELETE ON notes
  FOR EACH STATEMENT EXECUTE FUNCTION fence();
"""
INSERT = "INSERT INTO notes (id, text) VALUES ($1, $2)"


class TwoSides:
    """The shared and the own database of one service, and the switch between them."""

    def __init__(self, shared_dsn: str, own_dsn: str) -> None:
        self.dsn = {"shared": shared_dsn, "own": own_dsn}
        self.placements = FixedPlacement(_state(DataState.SHARED, 1))

    async def fence(self, side: str, *, closed: bool) -> None:
        connection = await asyncpg.connect(self.dsn[side])
        action = "ENABLE" if closed else "DISABLE"
        await connection.execute(f"ALTER TABLE notes {action} TRIGGER fence")
        await connection.close()

    async def rows(self, side: str) -> list[str]:
        connection = await asyncpg.connect(self.dsn[side])
        found = await connection.fetch("SELECT text FROM notes ORDER BY text")
        await connection.close()
        return [row["text"] for row in found]


def _state(state: DataState, epoch: int) -> ControlState:
    return ControlState(version=epoch, placements={"chat": Placement("chat", state, epoch)})


@pytest.fixture
async def sides(database: str) -> AsyncIterator[TwoSides]:
    name = f"own_{uuid.uuid4().hex[:12]}"
    admin = await asyncpg.connect(database)
    await admin.execute(f'CREATE DATABASE "{name}"')
    both = TwoSides(database, urlunsplit(urlsplit(database)._replace(path=f"/{name}")))
    for dsn in both.dsn.values():
        connection = await asyncpg.connect(dsn)
        await connection.execute(FENCE)
        await connection.close()
    await both.fence("shared", closed=False)
    yield both
    await admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    await admin.close()


@pytest.fixture
async def database_access(sides: TwoSides) -> AsyncIterator[Database]:
    grants = TableGrants.of(["notes"])
    pools = await open_pools(
        "test/chat",
        shared_dsn=sides.dsn["shared"],
        own_dsn=sides.dsn["own"],
        settings=PoolSettings(max_size=4, statement_seconds=5, lock_seconds=1),
        grants=ServiceGrants(shared=grants, own=grants),
    )
    access = Database("chat", pools, sides.placements, move_seconds=5.0)
    yield access
    await access.close()


async def test_a_fenced_write_waits_for_the_new_epoch_and_lands_on_the_new_side(
    sides: TwoSides, database_access: Database
) -> None:
    runs: list[str] = []
    started = asyncio.Event()

    async def work(connection: Connection) -> str:
        runs.append(database_access.side(connection))
        started.set()
        await connection.execute(INSERT, uuid.uuid4(), "moved")
        return database_access.side(connection)

    await sides.fence("shared", closed=True)
    task = asyncio.create_task(database_access.transaction(work))
    await started.wait()
    await sides.fence("own", closed=False)
    sides.placements.replace(_state(DataState.OWN, 2))
    assert await task == "own"
    assert await sides.rows("shared") == []
    assert await sides.rows("own") == ["moved"]
    assert runs[0] == "shared"
    assert runs[-1] == "own"


async def test_a_switch_that_is_called_off_lets_the_write_land_on_the_old_side(
    sides: TwoSides, database_access: Database
) -> None:
    started = asyncio.Event()

    async def work(connection: Connection) -> None:
        started.set()
        await connection.execute(INSERT, uuid.uuid4(), "stayed")

    await sides.fence("shared", closed=True)
    task = asyncio.create_task(database_access.transaction(work))
    await started.wait()
    await sides.fence("shared", closed=False)
    await task
    assert await sides.rows("shared") == ["stayed"]


async def test_the_new_side_that_opens_after_the_epoch_is_waited_for(
    sides: TwoSides, database_access: Database
) -> None:
    refused = asyncio.Event()
    runs = 0

    async def work(connection: Connection) -> None:
        nonlocal runs
        runs += 1
        if runs == 2:
            refused.set()
        await connection.execute(INSERT, uuid.uuid4(), "late")

    await sides.fence("shared", closed=True)
    sides.placements.replace(_state(DataState.OWN, 2))
    task = asyncio.create_task(database_access.transaction(work))
    await refused.wait()
    await sides.fence("own", closed=False)
    await task
    assert await sides.rows("own") == ["late"]


async def test_a_write_finds_the_new_owner_although_nobody_recorded_the_new_placement(
    sides: TwoSides, database_access: Database
) -> None:
    async def work(connection: Connection) -> str:
        await connection.execute(INSERT, uuid.uuid4(), "found")
        return database_access.side(connection)

    await sides.fence("shared", closed=True)
    await sides.fence("own", closed=False)
    assert await database_access.transaction(work) == "own"
    assert await database_access.fetchval("SELECT count(*) FROM notes") == 1
    await sides.fence("own", closed=True)
    await sides.fence("shared", closed=False)
    assert await database_access.transaction(work) == "shared"


async def test_a_write_that_never_finds_its_new_owner_fails_with_the_side_and_epoch(
    sides: TwoSides, database_access: Database
) -> None:
    async def work(connection: Connection) -> None:
        await connection.execute(INSERT, uuid.uuid4(), "nowhere")

    await sides.fence("shared", closed=True)
    with pytest.raises(TablesMovedError) as caught:
        await database_access.transaction(work, move_seconds=0.2)
    assert (caught.value.service, caught.value.side, caught.value.epoch) == ("chat", "shared", 1)


async def test_the_fence_is_seen_through_an_error_of_the_domain(
    sides: TwoSides, database_access: Database
) -> None:
    async def work(connection: Connection) -> None:
        try:
            await connection.execute(INSERT, uuid.uuid4(), "wrapped")
        except asyncpg.PostgresError as error:
            raise LookupError("the repository's own error") from error

    await sides.fence("shared", closed=True)
    await sides.fence("own", closed=False)
    task = asyncio.create_task(database_access.transaction(work))
    await asyncio.sleep(0)
    sides.placements.replace(_state(DataState.OWN, 2))
    await task
    assert await sides.rows("own") == ["wrapped"]


async def test_hundred_writers_lose_and_double_nothing_in_a_switch_under_load(
    sides: TwoSides, database_access: Database
) -> None:
    async def write(number: int) -> None:
        async def work(connection: Connection) -> None:
            await connection.execute(INSERT, uuid.uuid4(), f"{number:03}")

        await database_access.transaction(work)

    first = [asyncio.create_task(write(number)) for number in range(50)]
    await asyncio.sleep(0.01)
    await sides.fence("shared", closed=True)
    second = [asyncio.create_task(write(number)) for number in range(50, 100)]
    await sides.fence("own", closed=False)
    sides.placements.replace(_state(DataState.OWN, 2))
    await asyncio.gather(*first, *second)
    rows = await sides.rows("shared") + await sides.rows("own")
    assert sorted(rows) == [f"{number:03}" for number in range(100)]


async def test_deadlocked_transactions_run_again_until_both_are_done(
    sides: TwoSides, database_access: Database
) -> None:
    ids = [uuid.uuid4(), uuid.uuid4()]

    async def seed(connection: Connection) -> None:
        for row in ids:
            await connection.execute(INSERT, row, "")

    await database_access.transaction(seed)
    meeting = asyncio.Barrier(2)
    met: set[int] = set()

    async def lock_both(first: int) -> None:
        async def work(connection: Connection) -> None:
            await connection.execute("SET LOCAL lock_timeout = 0")
            update = "UPDATE notes SET text = text || 'x' WHERE id = $1"
            await connection.execute(update, ids[first])
            if first not in met:
                met.add(first)
                await meeting.wait()
            await connection.execute(update, ids[1 - first])

        await database_access.transaction(work)

    await asyncio.gather(lock_both(0), lock_both(1))
    assert await sides.rows("shared") == ["xx", "xx"]


async def test_on_commit_is_called_after_a_commit_and_never_after_a_rollback(
    sides: TwoSides, database_access: Database
) -> None:
    calls: list[int] = []
    access = Database(
        "chat", database_access.pools, sides.placements, on_commit=lambda: calls.append(1)
    )

    async def good(connection: Connection) -> None:
        await connection.execute(INSERT, uuid.uuid4(), "kept")

    async def bad(connection: Connection) -> None:
        await connection.execute(INSERT, uuid.uuid4(), "dropped")
        raise LookupError

    await access.transaction(good)
    with pytest.raises(LookupError):
        await access.transaction(bad)
    assert calls == [1]
    assert await sides.rows("shared") == ["kept"]


async def test_reads_follow_the_placement(sides: TwoSides, database_access: Database) -> None:
    for side in ("shared", "own"):
        await sides.fence(side, closed=False)
        connection = await asyncpg.connect(sides.dsn[side])
        await connection.execute(INSERT, uuid.uuid4(), side)
        await connection.close()
    assert await database_access.fetchval("SELECT text FROM notes") == "shared"
    sides.placements.replace(_state(DataState.OWN, 2))
    assert await database_access.fetchval("SELECT text FROM notes") == "own"
    row = await database_access.fetchrow("SELECT text FROM notes WHERE text = $1", "own")
    assert row is not None
    assert await database_access.fetch("SELECT text FROM notes WHERE text = 'none'") == []


async def test_statements_on_tables_of_others_are_refused_before_they_are_sent(
    database_access: Database,
) -> None:
    with pytest.raises(OwnershipError) as caught:
        await database_access.fetch("SELECT * FROM secrets")
    assert caught.value.found == ("reads secrets",)

    async def copy(connection: Connection) -> None:
        await connection.copy_records_to_table("secrets", records=[(uuid.uuid4(),)])

    with pytest.raises(OwnershipError):
        await database_access.transaction(copy)


async def test_connections_that_the_server_cut_are_replaced_without_an_error(
    sides: TwoSides, database_access: Database
) -> None:
    async def work(connection: Connection) -> None:
        await connection.execute(INSERT, uuid.uuid4(), "again")

    await asyncio.gather(*(database_access.fetchval("SELECT pg_sleep(0.05)") for _ in range(3)))
    admin = await asyncpg.connect(sides.dsn["shared"])
    await admin.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = 'test/chat'"
    )
    await admin.close()
    await database_access.transaction(work)
    assert await database_access.fetchval("SELECT count(*) FROM notes") == 1


async def test_statement_and_lock_limits_are_enforced_by_the_server(
    database_access: Database,
) -> None:
    async def limits(connection: Connection) -> tuple[str, str]:
        return (
            await connection.fetchval("SHOW statement_timeout"),
            await connection.fetchval("SHOW lock_timeout"),
        )

    assert await database_access.transaction(limits) == ("5s", "1s")


async def test_health_names_the_database_that_is_gone(sides: TwoSides) -> None:
    pools = await open_pools(
        "test",
        shared_dsn=sides.dsn["shared"],
        own_dsn="postgresql://postgres@127.0.0.1:1/none",
        settings=PoolSettings(connect_seconds=0.5),
    )
    health = await pools.health(seconds=1.0)
    assert health["shared"].ok
    assert not health["own"].ok
    assert health["own"].error == "ConnectionRefusedError"
    await pools.close()


async def test_the_own_side_without_a_database_is_an_error_that_names_the_variable(
    sides: TwoSides,
) -> None:
    pools = await open_pools("test", shared_dsn=sides.dsn["shared"])
    access = Database("chat", pools, FixedPlacement(_state(DataState.OWN, 2)))
    with pytest.raises(DatabaseUnavailableError, match="DATABASE_URL"):
        await access.fetchval("SELECT 1")
    await access.close()


async def test_without_any_control_state_nothing_is_guessed(sides: TwoSides) -> None:
    class NoState:
        state = None

        async def wait_for(self, *_args: object, **_options: object) -> ControlState:
            raise TimeoutError

    pools = await open_pools("test", shared_dsn=sides.dsn["shared"])
    access = Database("chat", pools, WatchedPlacement(NoState()))
    with pytest.raises(PlacementUnknownError):
        await access.fetchval("SELECT 1")
    await access.close()
