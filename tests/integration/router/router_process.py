"""`python -m router` as a process of its own, beside a real control store and a wire that can be cut."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx

from shared.control.instances import list_instances
from shared.control.model import FlagChange
from shared.control.store import ControlStore
from tests.integration.router.harness import PATIENCE, App

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
        async with asyncio.timeout(60), httpx.AsyncClient(trust_env=False) as client:
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
        async with asyncio.timeout(60):
            return await self.process.wait()

    async def get(self, path: str = "/api/search") -> httpx.Response:
        async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE) as client:
            return await client.get(f"http://127.0.0.1:{self.port}{path}")

    async def admin(self, path: str, number: int = 0, **options: Any) -> httpx.Response:
        url = f"http://127.0.0.1:{self.admin_port + number}{path}"
        async with httpx.AsyncClient(trust_env=False) as client:
            return await client.get(url, **{"headers": TOKEN} | options)

    def events(self, name: str) -> list[dict[str, Any]]:
        lines = (json.loads(line) for line in self.log.read_text().splitlines() if line[:1] == "{")
        return [line for line in lines if line["event"] == name]


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


class Wire:
    """A TCP relay to the database that can be cut and mended."""

    def __init__(self, database: str) -> None:
        self._parts = urlsplit(database)
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    @property
    def url(self) -> str:
        user = self._parts.netloc.rpartition("@")[0]
        return urlunsplit(self._parts._replace(netloc=f"{user}@127.0.0.1:{self.port}"))

    async def mend(self) -> None:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        far_reader, far_writer = await asyncio.open_connection(
            self._parts.hostname, self._parts.port
        )
        try:
            await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            for end in (writer, far_writer):
                end.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.transport.abort()
