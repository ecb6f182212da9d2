"""The latch: what the router does without its control store, and when that comes back."""

from __future__ import annotations

import asyncio

from shared.control.store import ControlStore
from tests.integration.router.harness import PATIENCE, App
from tests.integration.router.router_process import Wire, flip, free_ports, until_applied


async def test_without_the_database_the_router_serves_from_its_snapshot_and_recovers(
    launch, database: str, store: ControlStore, apps: tuple[App, App]
) -> None:
    await flip(store, 100)
    router = launch(database, apps, workers=1)
    await router.start()
    await router.ready()
    assert await router.stop() == 0
    nowhere = f"postgresql://nobody@127.0.0.1:{free_ports(1)}/none"
    await router.start(SHARED_DATABASE_URL=nowhere)
    await router.ready()
    assert (await router.get()).text == "content"
    health = (await router.get("/health")).json()
    assert (health["status"], health["checks"]["database"]) == ("degraded", False)
    state = (await router.admin("/state")).json()
    assert (state["source"], state["connected"]) == ("snapshot", False)
    assert await router.stop() == 0


async def test_a_lost_database_changes_nothing_and_its_return_is_noticed(
    launch, database: str, store: ControlStore, apps: tuple[App, App]
) -> None:
    wire = Wire(database)
    await wire.mend()
    router = launch(wire.url, apps)
    await router.start()
    await router.ready()
    await until_applied(store, await flip(store, 100), 1)
    await wire.cut()
    async with asyncio.timeout(PATIENCE):
        while (await router.admin("/state")).json()["connected"]:
            await asyncio.sleep(0.05)
    assert (await router.get()).text == "content"
    assert (await router.get("/health")).json()["status"] == "degraded"
    assert (await router.admin("/instances")).status_code == 503
    missed = await flip(store, 0)
    await wire.mend()
    await until_applied(store, missed, 1)
    assert (await router.get()).text == "monolith"
    assert await router.stop() == 0
    await wire.cut()


async def test_without_database_and_snapshot_the_answer_is_a_clear_503(
    launch, apps: tuple[App, App]
) -> None:
    nowhere = f"postgresql://nobody@127.0.0.1:{free_ports(1)}/none"
    router = launch(nowhere, apps, workers=1)
    await router.start()
    await router.ready(status=503)
    answer = await router.get()
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "UNAVAILABLE"
    ready = await router.admin("/readyz")
    assert ready.json()["ready"] is False
    assert ready.json()["reason"]
    assert await router.stop() == 0
