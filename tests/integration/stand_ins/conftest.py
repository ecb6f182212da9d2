"""One running process of the stand-ins for all tests of a worker, as clean as new before each."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

START_SECONDS = 60.0
WAIT_SECONDS = 10.0


@dataclass(frozen=True)
class StandIns:
    """Where the process listens and where it writes mail."""

    url: str
    smtp_port: int
    outbox: Path

    def get(self, path: str, **query: str) -> Any:
        return httpx.get(f"{self.url}{path}", params=query, timeout=WAIT_SECONDS).json()

    def status(self, path: str, headers: dict[str, str] | None = None) -> int:
        return httpx.get(f"{self.url}{path}", headers=headers, timeout=WAIT_SECONDS).status_code

    def direct(self, provider: str, url: str, secret: str) -> None:
        """Send this provider's deliveries to a receiver of the test."""
        body = {"url": url, "secret": secret}
        address = f"{self.url}/_webhooks/{provider}"
        httpx.put(address, json=body, timeout=WAIT_SECONDS).raise_for_status()

    def confirm_by_mail(self) -> None:
        """New people of Supabase have to read their mail first."""
        body = {"confirms_by_mail": True}
        httpx.put(f"{self.url}/_supabase", json=body, timeout=WAIT_SECONDS).raise_for_status()


@dataclass
class Receiver:
    """Takes deliveries; `statuses` are the next answers, then 200."""

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    came: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    async def take(self, request: Request) -> Response:
        self.came.append((dict(request.headers), await request.body()))
        return Response(status_code=self.statuses.pop(0) if self.statuses else 200)

    async def until(self, is_enough: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            while not is_enough():
                await asyncio.sleep(0.02)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="session")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIns]:
    port, smtp_port = _free_port(), _free_port()
    outbox = tmp_path_factory.mktemp("outbox")
    environment = {
        **os.environ,
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "SMTP_PORT": str(smtp_port),
        "MAIL_OUTBOX": str(outbox),
        "PUBLIC_BASE_URL": "",
        "WEBHOOK_RETRY_SECONDS": "0.05,0.05,0.05",
        "SLOW_SECONDS": "0.1",
        "HOLD_SECONDS": "5",
    }
    command = [sys.executable, "-m", "migrate.stack.stand_ins"]
    child = subprocess.Popen(command, env=environment, cwd=Path(__file__).parents[3])
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_until_up(url, child)
        yield StandIns(url, smtp_port, outbox)
    finally:
        child.terminate()
        child.wait(timeout=WAIT_SECONDS)


def _wait_until_up(url: str, child: subprocess.Popen[bytes]) -> None:
    ends = time.monotonic() + START_SECONDS
    while time.monotonic() < ends:
        assert child.poll() is None, "the stand-ins ended at their start"
        try:
            if httpx.get(f"{url}/healthz", timeout=1.0).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.05)
    raise TimeoutError(url)


@pytest.fixture
def stand_ins(process: StandIns) -> StandIns:
    httpx.post(f"{process.url}/_reset", timeout=WAIT_SECONDS).raise_for_status()
    return process


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    app = Starlette(routes=[Route("/hook", made.take, methods=["POST"])])
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="off"))
    task = asyncio.create_task(server.serve())
    async with asyncio.timeout(WAIT_SECONDS):
        while not server.started:
            await asyncio.sleep(0.01)
    made.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/hook"
    try:
        yield made
    finally:
        server.should_exit = True
        await task
