"""The router as processes: workers, supervisor, signals, admin port."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys

import httpx

from shared.control.instances import list_instances
from shared.control.store import ControlStore
from tests.integration.router.harness import PATIENCE, App, AppConnection
from tests.integration.router.router_process import flip, until_applied


async def test_a_flip_reaches_every_worker_and_no_request_fails(
    launch, database: str, store: ControlStore, apps: tuple[App, App]
) -> None:
    router = launch(database, apps, workers=2)
    await router.start()
    await asyncio.gather(router.ready(number=0), router.ready(number=1))
    failed: list[object] = []
    stop = asyncio.Event()

    async def load() -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE) as client:
            while not stop.is_set():
                answer = await client.get(f"http://127.0.0.1:{router.port}/api/search")
                if answer.status_code != 200:
                    failed.append(answer)

    clients = [asyncio.create_task(load()) for _ in range(4)]
    for percent in (100, 0, 50, 100, 0, 100):
        version = await flip(store, percent)
        await until_applied(store, version, 2)
    assert {(await router.get()).text for _ in range(8)} == {"content"}
    stop.set()
    await asyncio.gather(*clients)
    assert not failed
    instances = (await router.admin("/instances")).json()
    assert [row["name"] for row in instances] == ["r.0", "r.1"]
    stats = (await router.admin("/stats?scope=router")).json()["workers"]
    assert {row["instance"] for row in stats} == {"r.0", "r.1"}
    total = sum(route["requests"] for row in stats for route in row["routes"])
    asked = [request for app in apps for request in app.requests if "/api/" in request.line]
    assert total == len(asked)  # the workers' own health checks are not counted
    assert await router.stop() == 0
    assert not [row for row in await list_instances(store) if row.is_live]
    assert len(router.events("access")) == total


async def test_a_crashed_worker_is_named_and_replaced(
    launch, database: str, store: ControlStore, apps: tuple[App, App]
) -> None:
    router = launch(database, apps, workers=2)
    await router.start()
    await asyncio.gather(router.ready(number=0), router.ready(number=1))
    rows = {row.name: row.pid for row in await list_instances(store)}
    os.kill(rows["r.1"], signal.SIGKILL)
    # Connections that wait for the dead worker are served by its successor.
    answers = await asyncio.gather(*(router.get() for _ in range(12)), return_exceptions=True)
    assert sum(isinstance(answer, httpx.Response) for answer in answers) >= 6
    await router.ready(number=1)
    async with asyncio.timeout(PATIENCE):
        while {row.name: row.pid for row in await list_instances(store)}["r.1"] == rows["r.1"]:
            await asyncio.sleep(0.05)
    (crash,) = router.events("worker_crashed")
    assert (crash["worker"], crash["exit"]) == ("r.1", "SIGKILL")
    assert {(await router.get()).status_code for _ in range(8)} == {200}
    assert await router.stop() == 0


async def test_workers_leave_when_their_supervisor_is_killed(
    launch, database: str, store: ControlStore, apps: tuple[App, App]
) -> None:
    router = launch(database, apps, workers=2)
    await router.start()
    await asyncio.gather(router.ready(number=0), router.ready(number=1))
    assert router.process is not None
    router.process.kill()
    async with asyncio.timeout(PATIENCE):
        while len(router.events("router_stopped")) < 2:
            await asyncio.sleep(0.05)
    assert not await list_instances(store)


async def test_sigterm_finishes_requests_and_a_second_one_cuts_nothing(
    launch, database: str, store: ControlStore
) -> None:
    gate = asyncio.Event()

    async def slow(app: AppConnection) -> None:
        await app.request()
        await gate.wait()
        await app.answer(b"finished")

    apps = App("monolith", slow), App("content", slow)
    for app in apps:
        await app.start()
    router = launch(database, apps, workers=1)
    await router.start()
    await router.ready()
    request = asyncio.create_task(router.get())
    async with asyncio.timeout(PATIENCE):
        while not apps[0].requests:
            await asyncio.sleep(0.01)
    assert router.process is not None
    router.process.terminate()
    await router.ready(status=503)
    router.process.terminate()
    await asyncio.sleep(0.2)
    assert router.process.returncode is None
    gate.set()
    assert (await request).text == "finished"
    assert await router.stop() == 0
    for app in apps:
        await app.stop()


async def test_the_admin_port_wants_its_token(
    launch, database: str, store: ControlStore, apps: tuple[App, App]
) -> None:
    router = launch(database, apps, workers=1)
    await router.start()
    await router.ready()
    for path in ("/metrics", "/state", "/stats", "/instances", "/explain?method=GET&path=/"):
        assert (await router.admin(path, headers={})).status_code == 401
        wrong = {"Authorization": "Bearer admin-tokem"}
        assert (await router.admin(path, headers=wrong)).status_code == 401
        assert (await router.admin(path)).status_code == 200
    explained = (await router.admin("/explain?method=GET&path=/api/search&user=u")).json()
    assert (explained["route"], explained["side"]) == ("content.search", "monolith")
    await router.get("/api/search?token=secret-value&q=1")
    assert "router_requests_total" in (await router.admin("/metrics")).text
    assert await router.stop() == 0
    (line,) = router.events("access")
    assert (line["route"], line["query"]) == ("content.search", ["token", "q"])
    assert "secret-value" not in router.log.read_text()
    assert "admin-token" not in router.log.read_text()


async def test_a_wrong_environment_is_named_as_a_whole_before_anything_starts(
    launch, apps: tuple[App, App]
) -> None:
    router = launch("", apps)
    await router.start(PORT="none", WORKERS="0")
    assert router.process is not None
    async with asyncio.timeout(60):
        assert await router.process.wait() == 2
    text = router.log.read_text()
    for name in ("PORT", "WORKERS", "SHARED_DATABASE_URL"):
        assert name in text
    assert "Traceback" not in text


async def test_migrate_top_shows_rates_by_route_and_side(
    launch, database: str, store: ControlStore, apps: tuple[App, App]
) -> None:
    router = launch(database, apps, workers=2)
    await router.start()
    for number in range(2):
        await router.ready(number=number)
    await until_applied(store, await flip(store, 100.0), 2)
    urls = ",".join(f"http://127.0.0.1:{router.admin_port + number}" for number in range(2))

    async def traffic() -> None:
        while True:
            assert (await router.get()).status_code == 200

    load = asyncio.create_task(traffic())
    top = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "migrate.cli", "top", "--json", "--interval", "1",
        env={
            "PATH": os.environ["PATH"],
            "ADMIN_TOKEN": "admin-token",
            "ROUTER_ADMIN_URLS": urls,
            "MANIFEST": router.environment["MANIFEST"],
            "SHARED_DATABASE_URL": database,
        },
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await asyncio.wait_for(top.communicate(), 30)
    load.cancel()
    await asyncio.wait({load})
    assert top.returncode == 0
    shown = json.loads(out)
    (row,) = shown["routes"]
    assert (row["route"], row["service_percent"]) == ("content.search", 100.0)
    assert row["sides"]["service"]["rate"] > 0
    assert row["sides"]["service"]["error_percent"] == 0
    assert row["sides"]["service"]["p99_ms"] is not None
    assert (shown["held"], shown["failures"]) == (0, {})
    assert await router.stop() == 0
