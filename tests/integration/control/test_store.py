"""The control store on a real PostgreSQL: numbering, history, invariants, migrations."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from shared.control.errors import (
    IllegalChangeError,
    IllegalTransitionError,
    NotInitializedError,
    OperationRunningError,
    StaleVersionError,
    StoreUnreachableError,
    UnknownRouteError,
)
from shared.control.journal import Journal
from shared.control.migrations import migrate, migration_files
from shared.control.model import FlagChange, Hold
from shared.control.store import ControlStore, RouteFact
from shared.states import DataState, PhaseStatus

FACTS = (
    RouteFact("content.search", "content", writes=False),
    RouteFact("content.movie", "content", writes=False),
    RouteFact("chat.talk", "chat", writes=True),
)


@pytest.fixture
async def store(database: str) -> AsyncIterator[ControlStore]:
    await migrate(database)
    store = await ControlStore.connect(database)
    await store.register(FACTS, ["content", "chat"], [1, 2], actor="tester")
    yield store
    await store.close()


async def set_percent(store: ControlStore, route: str, percent: float) -> int:
    change = await store.set_flags(
        {route: FlagChange(percent=percent)}, actor="tester", reason="test"
    )
    return change.version


async def move_to(store: ControlStore, service: str, *states: DataState) -> None:
    for state in states:
        await store.set_placement(service, state, actor="tester", reason="test")


async def test_migrations_run_once_even_when_started_many_times_at_once(database: str) -> None:
    runs = await asyncio.gather(*(migrate(database) for _ in range(6)))
    assert sorted(sum(runs, [])) == [name for name, _ in migration_files()]
    assert await migrate(database) == []


async def test_a_database_without_the_schema_says_what_to_run(database: str) -> None:
    store = await ControlStore.connect(database)
    with pytest.raises(NotInitializedError, match="migrate db migrate"):
        await store.state()
    await store.close()


async def test_an_unreachable_server_is_a_clear_error_without_the_password() -> None:
    with pytest.raises(StoreUnreachableError) as caught:
        await ControlStore.connect("postgresql://u:secret-word@127.0.0.1:1/x")
    assert "secret-word" not in str(caught.value)
    assert "SHARED_DATABASE_URL" in str(caught.value)


async def test_registering_twice_changes_nothing(store: ControlStore) -> None:
    before = await store.state()
    change = await store.register(FACTS, ["content", "chat"], [1, 2], actor="tester")
    assert change.changed == ()
    assert await store.state() == before


async def test_every_flag_has_a_salt_of_its_own(store: ControlStore) -> None:
    salts = {flag.salt for flag in (await store.state()).flags.values()}
    assert len(salts) == len(FACTS)
    assert all(salts)


async def test_a_change_raises_the_version_by_one_and_writes_history(store: ControlStore) -> None:
    before = await store.state()
    change = await store.set_flags(
        {"content.search": FlagChange(percent=12.34)}, actor="ada", reason="first ramp"
    )
    assert change.version == before.version + 1
    assert change.changed == ("content.search",)
    assert (await store.state()).flags["content.search"].percent == 12.34
    (entry,) = await store.history(subject="content.search", limit=1)
    assert (entry.actor, entry.reason, entry.version) == ("ada", "first ramp", change.version)
    assert entry.before is not None
    assert entry.after is not None
    assert (entry.before["percent"], entry.after["percent"]) == (0.0, 12.34)


async def test_history_of_a_service_includes_its_routes(store: ControlStore) -> None:
    await set_percent(store, "content.movie", 5)
    await set_percent(store, "chat.talk", 5)
    subjects = {entry.subject for entry in await store.history(subject="content")}
    assert subjects == {"content", "content.movie", "content.search"}


async def test_setting_what_is_already_so_keeps_the_version(store: ControlStore) -> None:
    first = await set_percent(store, "content.search", 50)
    assert await set_percent(store, "content.search", 50) == first


async def test_concurrent_writers_are_serialised_and_none_is_lost(store: ControlStore) -> None:
    before = (await store.state()).version
    await asyncio.gather(*(set_percent(store, "content.search", number) for number in range(1, 21)))
    assert (await store.state()).version == before + 20
    entries = await store.history(subject="content.search", limit=20)
    afters = [entry.after["percent"] for entry in entries if entry.after]
    befores = [entry.before["percent"] for entry in entries if entry.before]
    assert sorted(afters) == list(range(1, 21))
    assert befores[:-1] == afters[1:]


async def test_an_unknown_route_changes_nothing_and_suggests_a_name(store: ControlStore) -> None:
    before = await store.state()
    changes = {"content.movie": FlagChange(percent=1), "content.serch": FlagChange(percent=1)}
    with pytest.raises(UnknownRouteError, match=r"content\.search"):
        await store.set_flags(changes, actor="tester", reason="typo")
    assert await store.state() == before


async def test_a_stale_version_is_refused(store: ControlStore) -> None:
    seen = (await store.state()).version
    await set_percent(store, "content.search", 1)
    with pytest.raises(StaleVersionError) as caught:
        await store.set_flags(
            {"content.search": FlagChange(percent=2)}, actor="t", reason="r", expected_version=seen
        )
    assert (caught.value.expected, caught.value.actual) == (seen, seen + 1)
    assert (await store.state()).flags["content.search"].percent == 1


async def test_a_writing_route_is_pinned_while_its_tables_are_its_own(store: ControlStore) -> None:
    await set_percent(store, "chat.talk", 100)
    await move_to(store, "chat", DataState.COPYING, DataState.FOLLOWING, DataState.OWN)
    before = await store.state()
    assert before.is_pinned("chat.talk")
    assert not before.is_pinned("content.search")
    for percent in (0.0, 50.0, 99.99):
        with pytest.raises(IllegalChangeError) as caught:
            await set_percent(store, "chat.talk", percent)
        assert [broken.subject for broken in caught.value.broken] == ["chat.talk"]
    assert await store.state() == before
    await move_to(store, "chat", DataState.FOLLOWING)
    await set_percent(store, "chat.talk", 0)


async def test_tables_cannot_become_the_services_own_while_the_monolith_writes(
    store: ControlStore,
) -> None:
    await move_to(store, "chat", DataState.COPYING, DataState.FOLLOWING)
    before = await store.state()
    with pytest.raises(IllegalChangeError):
        await move_to(store, "chat", DataState.OWN)
    assert await store.state() == before


async def test_a_hand_written_update_cannot_split_ownership_either(store: ControlStore) -> None:
    await set_percent(store, "chat.talk", 100)
    await move_to(store, "chat", DataState.COPYING, DataState.FOLLOWING, DataState.OWN)
    async with store.connection() as connection:
        with pytest.raises(asyncpg.PostgresError) as caught:
            await connection.execute(
                "UPDATE strangler.flags SET percent = 50 WHERE route = 'chat.talk'"
            )
    assert caught.value.sqlstate == "SP003"


async def test_history_cannot_be_rewritten(store: ControlStore) -> None:
    async with store.connection() as connection:
        for statement in (
            "UPDATE strangler.history SET actor = 'x'",
            "DELETE FROM strangler.history",
        ):
            with pytest.raises(asyncpg.PostgresError) as caught:
                await connection.execute(statement)
            assert caught.value.sqlstate == "SP002"


async def test_the_epoch_grows_only_when_the_owner_changes(store: ControlStore) -> None:
    await set_percent(store, "chat.talk", 100)
    epochs = []
    for state in (
        DataState.COPYING,
        DataState.FOLLOWING,
        DataState.OWN,
        DataState.FOLLOWING,
        DataState.OWN,
    ):
        await move_to(store, "chat", state)
        epochs.append((await store.state()).placement("chat").epoch)
    assert epochs == [1, 1, 2, 3, 4]


async def test_an_illegal_transition_raises_and_changes_nothing(store: ControlStore) -> None:
    before = await store.state()
    with pytest.raises(IllegalTransitionError) as caught:
        await move_to(store, "content", DataState.OWN)
    assert (caught.value.before, caught.value.after) == ("shared", "own")
    assert await store.state() == before


async def test_a_hold_gets_the_databases_clock_and_ends(store: ControlStore) -> None:
    await store.set_hold(["chat.talk"], Hold(total_seconds=3), actor="t", reason="switch")
    hold = (await store.state()).flags["chat.talk"].hold
    assert hold is not None
    async with store.connection() as connection:
        now = await connection.fetchval("SELECT extract(epoch FROM clock_timestamp())::float8")
    assert 0 <= now - hold.started_at < 60
    await store.set_hold(["chat.talk"], None, actor="t", reason="done")
    assert (await store.state()).flags["chat.talk"].hold is None


async def test_phases_go_forward_and_back_one_step_at_a_time(store: ControlStore) -> None:
    with pytest.raises(IllegalTransitionError):
        await store.set_phase(1, PhaseStatus.COMPLETED, actor="t", reason="r")
    await store.set_phase(1, PhaseStatus.STARTED, actor="t", reason="r")
    await store.set_phase(1, PhaseStatus.COMPLETED, actor="t", reason="r")
    one, two = await store.phases()
    assert (one.status, two.status) == (PhaseStatus.COMPLETED, PhaseStatus.PENDING)
    assert one.started_at is not None
    assert one.completed_at is not None


async def test_one_operation_per_subject_at_a_time(store: ControlStore) -> None:
    journal = Journal(store)
    async with journal.exclusive("chat"):
        with pytest.raises(OperationRunningError):
            async with journal.exclusive("chat"):
                pass
        async with journal.exclusive("content"):
            pass
    async with journal.exclusive("chat"):
        pass


async def test_an_interrupted_operation_is_found_again_with_its_journal(
    store: ControlStore,
) -> None:
    journal = Journal(store)
    first = await journal.begin("split", "chat", actor="t", data={"tables": ["messages"]})
    await journal.record(first.id, "publish", "done", {"lsn": "0/16B3748"})
    again = await journal.begin("split", "chat", actor="t")
    assert again.id == first.id
    assert again.data == {"tables": ["messages"]}
    await journal.remember(first.id, {"slot": "split_fwd"})
    (row,) = await journal.rows(first.id)
    assert (row.step, row.status, row.data) == ("publish", "done", {"lsn": "0/16B3748"})
    await journal.finish(first.id, "done")
    assert (await journal.begin("split", "chat", actor="t")).id != first.id
    found = await journal.find("split", "chat")
    assert found is not None
    assert found.status == "running"
