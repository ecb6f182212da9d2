"""Watchers follow the store, latch it, and tell barriers what they have applied."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from shared.control.barrier import wait_until_applied
from shared.control.errors import BarrierTimeoutError
from shared.control.instances import InstanceInfo, forget_instance, list_instances
from shared.control.migrations import migrate
from shared.control.model import ControlState, FlagChange
from shared.control.store import ControlStore, RouteFact
from shared.control.watch import ControlWatcher


@pytest.fixture
async def store(database: str) -> AsyncIterator[ControlStore]:
    await migrate(database)
    store = await ControlStore.connect(database)
    await store.register([RouteFact("a.b", "a", writes=False)], ["a"], [], actor="tester")
    yield store
    await store.close()


def instance(name: str) -> InstanceInfo:
    return InstanceInfo(name, "router", name, "host", os.getpid())


async def test_a_watcher_has_the_first_state_when_started(
    store: ControlStore, database: str
) -> None:
    watcher = ControlWatcher(database)
    await watcher.start()
    assert watcher.state == await store.state()
    assert (watcher.connected, watcher.source) == (True, "store")
    await watcher.stop()


async def test_the_barrier_waits_for_every_live_instance(
    store: ControlStore, database: str
) -> None:
    seen: list[float] = []

    def on_change(state: ControlState) -> None:
        seen.append(state.flags["a.b"].percent)

    watchers = [
        ControlWatcher(database, instance=instance(f"router/{n}"), on_change=on_change)
        for n in range(3)
    ]
    for watcher in watchers:
        await watcher.start()
    change = await store.set_flags({"a.b": FlagChange(percent=25)}, actor="t", reason="r")
    result = await wait_until_applied(store, change)
    assert seen.count(25.0) == 3
    assert [entry.instance for entry in result.applied] == ["router/0", "router/1", "router/2"]
    for watcher in watchers:
        await watcher.stop()
    assert await list_instances(store) == ()


async def test_a_live_instance_that_does_not_follow_is_named(
    store: ControlStore, database: str
) -> None:
    def refuse(state: ControlState) -> None:
        if state.flags["a.b"].percent > 0:
            raise ValueError("cannot compile")

    watcher = ControlWatcher(database, instance=instance("router/stuck"), on_change=refuse)
    await watcher.start()
    while not await list_instances(store):
        await asyncio.sleep(0.01)
    change = await store.set_flags({"a.b": FlagChange(percent=25)}, actor="t", reason="r")
    with pytest.raises(BarrierTimeoutError) as caught:
        await wait_until_applied(store, change, timeout_seconds=0.5)
    assert caught.value.waiting == ("router/stuck",)
    assert watcher.state is not None
    assert watcher.state.flags["a.b"].percent == 0
    await watcher.stop()
    await forget_instance(store, "router/stuck")


async def test_a_lost_notification_delays_but_never_loses_a_change(
    store: ControlStore, database: str
) -> None:
    watcher = ControlWatcher(database)
    await watcher.start()
    connection = await asyncpg.connect(database)
    await connection.execute(
        "UPDATE strangler.flags SET percent = 7; UPDATE strangler.control SET version = version + 1"
    )
    state = await watcher.wait_for(
        lambda state: state.flags["a.b"].percent == 7, timeout_seconds=10
    )
    assert state.flags["a.b"].percent == 7
    await connection.close()
    await watcher.stop()


async def test_a_killed_connection_is_replaced_and_the_state_stays_latched(
    store: ControlStore, database: str
) -> None:
    watcher = ControlWatcher(database, instance=instance("router/0"))
    await watcher.start()
    connection = await asyncpg.connect(database)
    killed = await connection.fetchval(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE application_name = 'strangler/router/0' AND datname = current_database()"
    )
    await connection.close()
    assert killed == 1
    assert watcher.state is not None
    await store.set_flags({"a.b": FlagChange(percent=9)}, actor="t", reason="r")
    await watcher.wait_for(lambda state: state.flags["a.b"].percent == 9, timeout_seconds=10)
    await watcher.stop()


async def test_without_a_store_the_snapshot_serves_and_without_both_there_is_no_state(
    store: ControlStore, database: str, tmp_path: Path
) -> None:
    path = tmp_path / "snapshot.json"
    watcher = ControlWatcher(database, instance=instance("router/0"), snapshot=path)
    await watcher.start()
    while not path.exists():
        await asyncio.sleep(0.01)
    expected = watcher.state
    await watcher.stop()
    nowhere = "postgresql://postgres@127.0.0.1:1/none"
    from_snapshot = ControlWatcher(nowhere, snapshot=path)
    await from_snapshot.start()
    assert (from_snapshot.state, from_snapshot.source) == (expected, "snapshot")
    assert not from_snapshot.connected
    await from_snapshot.stop()
    without = ControlWatcher(nowhere, snapshot=tmp_path / "other.json")
    await without.start()
    assert without.state is None
    await without.stop()


async def test_a_gone_instance_is_forgotten_on_request(store: ControlStore, database: str) -> None:
    connection = await asyncpg.connect(database)
    await connection.execute(
        "INSERT INTO strangler.instances (id, kind, name, host, pid, seen_at)"
        " VALUES ('router/gone', 'router', 'router', 'h', 1, now() - interval '1 hour')"
    )
    await connection.close()
    change = await store.set_flags({"a.b": FlagChange(percent=3)}, actor="t", reason="r")
    result = await wait_until_applied(store, change)
    assert result.lost == ("router/gone",)
    assert await forget_instance(store, "router/gone")
    assert not await forget_instance(store, "router/gone")
