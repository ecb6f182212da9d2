"""The router as processes: control store, latch, workers, signals, admin port."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.control.instances import list_instances
from shared.control.migrations import migrate
from shared.control.model import FlagChange
from shared.control.store import ControlStore, RouteFact
from tests.integration.router.harness import PATIENCE, App, AppConnection, serve_ok

MANIFEST = """
[project]
name = "demo"
public_host = "api.example.com"

[router]
app = "router"
drain_seconds = 5.0

[monolith]
app = "api-monolith"

[services.content]
app = "content-service"
placement = "shared"
routes = [
  { name = "content.search", method = "GET", path = "/api/search", kind = "read", auth = "public" },
]
"""
TOKEN = {"Authorization": "Bearer admin-token"}


def free_ports(count: int) -> int:
    """The first of `count` free ports in a row."""
    while True:
        with contextlib.ExitStack() as stack:
            first = stack.enter_context(socket.socket())
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            try:
                for offset in range(1, count):
                    other = stack.enter_context(socket.socket())
                    other.bind(("127.0.0.1", port + offset))
            except OSError:
                continue
            return port


class RouterProcess:
    """One `python -m router` with its addresses."""

    def __init__(self, folder: Path, database: str, apps: tuple[App, App], workers: int) -> None:
        self.port = free_ports(1)
        self.admin_port = free_ports(workers)
        self.workers = workers
        manifest = folder / "migration.toml"
        manifest.write_text(MANIFEST)
        self.environment = {
            "PATH": os.environ["PATH"],
            "PORT": str(self.port),
            "ADMIN_PORT": str(self.admin_port),
            "ADMIN_TOKEN": "admin-token",
            "MANIFEST": str(manifest),
            "SHARED_DATABASE_URL": database,
            "SNAPSHOT_PATH": str(folder / "snapshot.json"),
            "WORKERS": str(workers),
            "INSTANCE_NAME": "r",
            "MONOLITH_URL": apps[0].url,
            "CONTENT_URL": apps[1].url,
            "ACCESS_LOG_SAMPLE": "1",
        }
        self.process: asyncio.subprocess.Process | None = None
        self.log = folder / "router.log"

    async def start(self, **changes: str) -> None:
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "router",
                env=self.environment | changes,
                stdout=log,
                stderr=log,
            )

    async def ready(self, *, number: int = 0, status: int = 200) -> None:
        async with asyncio.timeout(20), httpx.AsyncClient(trust_env=False) as client:
            while True:
                with contextlib.suppress(httpx.HTTPError):
                    url = f"http://127.0.0.1:{self.admin_port + number}/readyz"
                    if (await client.get(url)).status_code == status:
                        return
                await asyncio.sleep(0.05)

    async def kill(self) -> None:
        """Whatever is left of the router when a test has failed."""
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()

    async def stop(self) -> int:
        assert self.process is not None
        if self.process.returncode is None:
            self.process.terminate()
        async with asyncio.timeout(20):
            return await self.process.wait()

    async def get(self, path: str = "/api/search") -> httpx.Response:
        async with httpx.AsyncClient(trust_env=False) as client:
            return await client.get(f"http://127.0.0.1:{self.port}{path}")

    async def admin(self, path: str, number: int = 0, **options: Any) -> httpx.Response:
        url = f"http://127.0.0.1:{self.admin_port + number}{path}"
        async with httpx.AsyncClient(trust_env=False) as client:
            return await client.get(url, **{"headers": TOKEN} | options)

    def events(self, name: str) -> list[dict[str, Any]]:
        lines = (json.loads(line) for line in self.log.read_text().splitlines() if line[:1] == "{")
        return [line for line in lines if line["event"] == name]


@pytest.fixture
async def store(database: str) -> AsyncIterator[ControlStore]:
    await migrate(database)
    store = await ControlStore.connect(database)
    await store.register(
        [RouteFact("content.search", "content", False)], ["content"], [1], actor="t"
    )
    yield store
    await store.close()


@pytest.fixture
async def launch(tmp_path: Path) -> AsyncIterator[Callable[..., RouterProcess]]:
    made: list[RouterProcess] = []

    def make(database: str, apps: tuple[App, App], workers: int = 1) -> RouterProcess:
        made.append(RouterProcess(tmp_path, database, apps, workers))
        return made[-1]

    yield make
    for router in made:
        await router.kill()


@pytest.fixture
async def apps() -> AsyncIterator[tuple[App, App]]:
    found = App("monolith", serve_ok), App("content", serve_ok)
    for app in found:
        await app.start()
    yield found
    for app in found:
        await app.stop()


async def flip(store: ControlStore, percent: float) -> int:
    change = await store.set_flags(
        {"content.search": FlagChange(percent=percent)}, actor="test", reason="test"
    )
    return change.version


async def until_applied(store: ControlStore, version: int, count: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            live = await list_instances(store, kind="router")
            if sum(row.applied_version >= version for row in live) >= count:
                return
            await asyncio.sleep(0.02)


async def test_a_flip_reaches_every_worker_and_no_request_fails(
    launch, database: str, store: ControlStore, apps: tuple[App, App]
) -> None:
    router = launch(database, apps, workers=2)
    await router.start()
    await asyncio.gather(router.ready(number=0), router.ready(number=1))
    failed: list[object] = []
    stop = asyncio.Event()

    async def load() -> None:
        async with httpx.AsyncClient(trust_env=False) as client:
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
    assert total == len(apps[0].requests) + len(apps[1].requests)
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
    async with asyncio.timeout(20):
        assert await router.process.wait() == 2
    text = router.log.read_text()
    for name in ("PORT", "WORKERS", "SHARED_DATABASE_URL"):
        assert name in text
    assert "Traceback" not in text
