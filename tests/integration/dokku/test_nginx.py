"""nginx as Dokku configures it, in front of the router: nothing breaks and nothing can be spoofed."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
import uvicorn
import websockets
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from migrate.dokku.phases.proof import Counters, ask_router, watch_quiet
from shared.control.migrations import migrate
from shared.manifest import load_manifest
from tests.dokku_host.nginx import Nginx, free_port, running

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATIENCE = 20.0
TOKEN = "a-token-of-the-admin-port"
MEBIBYTE = 1 << 20
MANIFEST = """
[project]
name = "demo"
public_host = "localhost"

[router]
app = "router"
drain_seconds = 20.0
trusted_proxies = ["127.0.0.1/32"]

[monolith]
app = "api-monolith"

[services.content]
app = "content-service"
placement = "shared"
routes = [
  { name = "content.search", method = "GET", path = "/api/search", kind = "read", auth = "public" },
]
"""


@dataclass
class Monolith:
    """The old API behind the router: tells what it received, streams when it is told to go on."""

    port: int = 0
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    def app(self) -> Starlette:
        async def echo(request: Request) -> JSONResponse:
            return JSONResponse({"headers": list(map(list, request.headers.items()))})

        async def upload(request: Request) -> JSONResponse:
            digest, size = hashlib.sha256(), 0
            async for chunk in request.stream():
                digest.update(chunk)
                size += len(chunk)
            return JSONResponse({"size": size, "sha256": digest.hexdigest()})

        async def events(_request: Request) -> StreamingResponse:
            async def body() -> AsyncIterator[bytes]:
                yield b"data: first\n\n"
                await asyncio.wait_for(self.go_on.wait(), PATIENCE)
                yield b"data: last\n\n"

            return StreamingResponse(body(), media_type="text/event-stream")

        async def socket(socket: WebSocket) -> None:
            await socket.accept()
            async for text in socket.iter_text():
                await socket.send_text(f"echo {text}")

        return Starlette(
            routes=[
                Route("/api/echo", echo, methods=["GET", "POST"]),
                Route("/api/upload", upload, methods=["PUT"]),
                Route("/api/events", events),
                WebSocketRoute("/api/socket", socket),
            ]
        )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def monolith() -> AsyncIterator[Monolith]:
    found = Monolith(free_port())
    config = uvicorn.Config(found.app(), port=found.port, log_level="error", lifespan="off")
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield found
    found.go_on.set()
    server.should_exit = True
    await asyncio.wait_for(task, PATIENCE)


class Router:
    """One `python -m router`, as a container of the app would run it."""

    def __init__(self, folder: Path, name: str, database: str, monolith: int) -> None:
        self.port, self.admin = free_port(), free_port()
        manifest = folder / "migration.toml"
        manifest.write_text(MANIFEST)
        self.log = folder / f"{name}.log"
        self.environment = {
            "PATH": os.environ["PATH"],
            "PORT": str(self.port),
            "ADMIN_PORT": str(self.admin),
            "ADMIN_TOKEN": TOKEN,
            "MANIFEST": str(manifest),
            "SHARED_DATABASE_URL": database,
            "WORKERS": "1",
            "INSTANCE_NAME": name,
            "MONOLITH_URL": f"http://127.0.0.1:{monolith}",
        }
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "router", env=self.environment, stdout=log, stderr=log
            )
        async with asyncio.timeout(PATIENCE), httpx.AsyncClient(trust_env=False) as client:
            while True:
                assert self.process.returncode is None, _text(self.log)
                with contextlib.suppress(httpx.HTTPError):
                    url = f"http://127.0.0.1:{self.admin}/readyz"
                    if (await client.get(url)).status_code == 200:
                        return
                await asyncio.sleep(0.05)

    async def has_answered(self) -> None:
        """Until a request has come through this router."""
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with asyncio.timeout(PATIENCE), httpx.AsyncClient(trust_env=False) as session:
            while True:
                url = f"http://127.0.0.1:{self.admin}/stats"
                rows = (await session.get(url, headers=headers)).json()["routes"]
                if any(row["requests"] for row in rows):
                    return
                await asyncio.sleep(0.05)

    async def stop(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()


def _text(file: Path) -> str:
    return file.read_text()[-2000:]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def routers(
    module_database: str, monolith: Monolith, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[Router, Router]]:
    """The old container and the new one; only the old one runs."""
    await migrate(module_database)
    folder = tmp_path_factory.mktemp("routers")
    old, new = (Router(folder, name, module_database, monolith.port) for name in ("old", "new"))
    await old.start()
    yield old, new
    await old.stop()
    await new.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def nginx(
    routers: tuple[Router, Router], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Nginx]:
    """nginx with the shipped manifest's properties of the router."""
    manifest = load_manifest()
    assert manifest.dokku is not None
    folder = tmp_path_factory.mktemp("nginx")
    with running(folder, routers[0].port, manifest.dokku.apps["router"].nginx) as server:
        yield server


def client(nginx: Nginx, **options: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=f"https://localhost:{nginx.https_port}",
        verify=nginx.context, trust_env=False, timeout=PATIENCE, **options,
    )  # fmt: skip


async def received(nginx: Nginx, headers: dict[str, str]) -> dict[str, list[str]]:
    """What the old API saw of a request with these headers."""
    async with client(nginx) as session:
        answer = await session.get("/api/echo", headers=headers)
    assert answer.status_code == 200, answer.text
    found: dict[str, list[str]] = {}
    for name, value in answer.json()["headers"]:
        found.setdefault(name, []).append(value)
    return found


SPOOFED = {
    "X-Forwarded-For": "6.6.6.6",
    "X-Real-IP": "6.6.6.6",
    "X-Forwarded-Proto": "http",
    "X-Forwarded-Host": "evil.example.com",
    "Forwarded": "for=6.6.6.6",
    "X-Shadow": "1",
}


#: Dokku's template hands the client's Connection header on, which must not take headers away either.
CONNECTIONS = (
    None,
    "close",
    "keep-alive, X-Forwarded-For",
    "close, X-Forwarded-For, X-Real-IP, X-Forwarded-Proto",
    "upgrade",
    "Upgrade, X-Forwarded-For, Host",
)


async def test_no_client_can_say_who_it_is(nginx: Nginx) -> None:
    for connection in CONNECTIONS:
        headers = SPOOFED | ({"Connection": connection} if connection else {})
        found = await received(nginx, headers)
        assert found["x-real-ip"] == ["127.0.0.1"], connection
        assert found["x-forwarded-for"][0].partition(",")[0] == "127.0.0.1", connection
        assert found["x-forwarded-proto"] == ["https"], connection
        assert "6.6.6.6" not in json.dumps(found), connection
        assert "x-shadow" not in found, connection
        assert len(found["host"]) == 1, connection


async def test_the_proof_of_strangulation_sees_a_request_to_the_old_api(
    nginx: Nginx, routers: tuple[Router, Router]
) -> None:
    """The counters of a real router, as the last phase reads them."""
    url = f"http://127.0.0.1:{routers[0].admin}"

    async def read() -> Counters:
        return await ask_router(url, TOKEN)

    async def quiet(_seconds: float) -> None:
        return None

    async def scanned(_seconds: float) -> None:
        async with client(nginx) as session:
            assert (await session.get("/wp-login.php")).status_code == 404

    async def busy(_seconds: float) -> None:
        async with client(nginx) as session:
            assert (await session.get("/api/echo")).status_code == 200

    assert await watch_quiet(read, 1, quiet) == ()
    assert await watch_quiet(read, 1, scanned) == (), "nobody was served"
    (problem,) = await watch_quiet(read, 1, busy)
    assert problem == "1 request(s) of unknown paths went to the monolith"


async def test_events_arrive_one_by_one(nginx: Nginx, monolith: Monolith) -> None:
    """The second event is only sent after the first one has arrived: buffering would hang here."""
    monolith.go_on.clear()
    async with client(nginx) as session, session.stream("GET", "/api/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.aiter_lines()
        assert await asyncio.wait_for(anext(lines), PATIENCE) == "data: first"
        monolith.go_on.set()
        rest = [line async for line in lines if line]
    assert rest == ["data: last"]


async def test_forty_mebibytes_go_through_and_sixty_do_not(nginx: Nginx) -> None:
    block = os.urandom(MEBIBYTE)

    async def blocks(count: int) -> AsyncIterator[bytes]:
        for _ in range(count):
            yield block

    async with client(nginx) as session:
        answer = await session.put("/api/upload", content=blocks(40))
        assert answer.json() == {
            "size": 40 * MEBIBYTE,
            "sha256": hashlib.sha256(block * 40).hexdigest(),
        }
        size = {"Content-Length": str(60 * MEBIBYTE)}
        with contextlib.suppress(httpx.WriteError):
            refused = await session.put("/api/upload", content=blocks(60), headers=size)
            assert refused.status_code == 413


async def test_websockets_pass(nginx: Nginx) -> None:
    url = f"wss://localhost:{nginx.https_port}/api/socket"
    async with websockets.connect(url, ssl=nginx.context, proxy=None) as socket:
        await socket.send("hello")
        assert await asyncio.wait_for(socket.recv(), PATIENCE) == "echo hello"


async def test_http_is_sent_to_https_and_hsts_binds_this_host_only(nginx: Nginx) -> None:
    async with httpx.AsyncClient(trust_env=False) as session:
        answer = await session.post(f"http://127.0.0.1:{nginx.http_port}/api/echo?a=b")
    assert answer.status_code == 301
    assert answer.headers["location"] == f"https://127.0.0.1:{nginx.https_port}/api/echo?a=b"
    async with client(nginx) as session:
        header = (await session.get("/api/echo")).headers["strict-transport-security"]
    assert header == "max-age=15724800"


async def test_a_deploy_ends_no_open_stream_and_refuses_nobody(
    nginx: Nginx, routers: tuple[Router, Router], monolith: Monolith
) -> None:
    """Dokku's order: new container healthy, nginx reloaded, SIGTERM to the old one at once."""
    old, new = routers
    monolith.go_on.clear()
    async with client(nginx) as session, session.stream("GET", "/api/events") as stream:
        lines = stream.aiter_lines()
        assert await asyncio.wait_for(anext(lines), PATIENCE) == "data: first"
        await new.start()
        statuses: list[int] = []
        stop = asyncio.Event()

        async def visit() -> None:
            # a connection per visit: nginx closes idle ones at a reload, which clients have to bear
            while not stop.is_set():
                async with client(nginx) as visitor:
                    statuses.append((await visitor.get("/api/echo")).status_code)

        visitors = [asyncio.create_task(visit()) for _ in range(3)]
        await asyncio.sleep(0.3)
        nginx.point_at(new.port)
        await new.has_answered()  # the reload acts; Dokku inspects containers before it goes on
        await asyncio.sleep(0.5)
        assert old.process is not None
        old.process.send_signal(signal.SIGTERM)
        before = len(statuses)
        async with asyncio.timeout(PATIENCE):
            while len(statuses) < before + 60:
                await asyncio.sleep(0.02)
        assert old.process.returncode is None, "it waits for its open stream"
        old.process.send_signal(signal.SIGTERM)  # Dokku sends another one after wait-to-retire
        monolith.go_on.set()
        assert [line async for line in lines if line] == ["data: last"]
        stop.set()
        await asyncio.gather(*visitors)
    assert set(statuses) == {200}
    assert await asyncio.wait_for(old.process.wait(), PATIENCE) == 0
