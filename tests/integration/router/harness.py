"""A data plane on a real socket between raw clients and scripted apps."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from router.client_limits import ClientLimits
from router.data_plane import DataPlane, PlaneSettings
from router.upstreams import UpstreamSettings
from shared.control.model import ControlState, Flag, Placement
from shared.routing.routes import RouteSpec, RouteTable

#: Longest wait for anything in a test; never what a test measures.
PATIENCE = 30.0

Script = Callable[["AppConnection"], Awaitable[None]]

ROUTES = (
    RouteSpec("content.search", "content", "GET", "/api/search", fallback=True),
    RouteSpec("content.item", "content", "GET", "/api/items/{id}", fallback=True),
    RouteSpec("content.write", "content", "POST", "/api/write", kind="write", writes=True),
    RouteSpec(
        "content.put", "content", "PUT", "/api/put", kind="write", writes=True, idempotency="natural"
    ),
    RouteSpec("content.stream", "content", "POST", "/api/stream", kind="stream", writes=True),
    RouteSpec("content.upload", "content", "POST", "/api/upload", kind="upload", writes=True),
    RouteSpec("content.socket", "content", "GET", "/api/socket", kind="websocket", writes=True),
    RouteSpec(
        "content.hook", "content", "POST", "/api/hook", kind="webhook", writes=True,
        sticky="body:data.id", idempotency="event_id",
    ),
)  # fmt: skip


@dataclass
class Request:
    """What an app received."""

    head: bytes
    body: bytes = b""

    @property
    def line(self) -> str:
        return self.head.split(b"\r\n", 1)[0].decode("latin-1")

    @property
    def lines(self) -> list[str]:
        return self.head.decode("latin-1").split("\r\n")[1:-2]

    def values(self, name: str) -> list[str]:
        found = (line.partition(":") for line in self.lines)
        return [value.strip() for key, _, value in found if key.lower() == name.lower()]


@dataclass
class AppConnection:
    """One connection that the router made to an app."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    app: App

    async def request(self, *, body: bool = True) -> Request:
        """The next request, with its body undone from its framing."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        request = Request(head)
        self.app.requests.append(request)
        if body:
            request.body = await self.body(request)
        return request

    async def body(self, request: Request) -> bytes:
        if request.values("transfer-encoding") == ["chunked"]:
            found = b""
            while size := int((await self.reader.readuntil(b"\r\n")).strip(), 16):
                found += await self.reader.readexactly(size)
                assert await self.reader.readexactly(2) == b"\r\n"
            assert await self.reader.readexactly(2) == b"\r\n"
            return found
        length = request.values("content-length")
        return await self.reader.readexactly(int(length[0])) if length else b""

    async def send(self, data: bytes) -> None:
        if self.writer.transport.is_closing():
            raise ConnectionResetError
        self.writer.write(data)
        await self.writer.drain()

    async def answer(
        self, body: bytes = b"ok", *, status: str = "200 OK", headers: bytes = b""
    ) -> None:
        await self.send(
            b"HTTP/1.1 %b\r\nContent-Type: text/plain\r\n%bContent-Length: %d\r\n\r\n%b"
            % (status.encode(), headers, len(body), body)
        )

    def reset(self) -> None:
        """End with a TCP reset."""
        raw = self.writer.get_extra_info("socket")
        with socket.fromfd(raw.fileno(), raw.family, raw.type) as twin:
            twin.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.writer.transport.abort()


async def serve_ok(app: AppConnection) -> None:
    """An ordinary app: answers every request with its own name."""
    while True:
        await app.request()
        await app.answer(app.app.name.encode())


@dataclass
class App:
    """A scripted app on a real socket."""

    name: str
    script: Script
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    open: int = 0
    server: asyncio.Server | None = None
    port: int = 0
    errors: list[BaseException] = field(default_factory=list)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def start(self, port: int = 0) -> None:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        self.port = self.server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        try:
            await self.script(AppConnection(reader, writer, self))
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        except BaseException as error:
            self.errors.append(error)
        finally:
            self.open -= 1
            self.tasks.discard(task)
            writer.close()

    async def stop(self) -> None:
        if self.server is not None:
            self.server.close()
        for task in tuple(self.tasks):
            task.cancel()
        if self.tasks:
            await asyncio.wait(self.tasks, timeout=PATIENCE)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@dataclass
class Answer:
    """What a client received."""

    head: bytes
    body: bytes = b""

    @property
    def status(self) -> int:
        return int(self.head[9:12])

    @property
    def lines(self) -> list[str]:
        return self.head.decode("latin-1").split("\r\n")[1:-2]

    def values(self, name: str) -> list[str]:
        found = (line.partition(":") for line in self.lines)
        return [value.strip() for key, _, value in found if key.lower() == name.lower()]


class Client:
    """A raw client of the router."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def head(self) -> Answer:
        async with asyncio.timeout(PATIENCE):
            return Answer(await self.reader.readuntil(b"\r\n\r\n"))

    async def answer(self, *, has_body: bool = True) -> Answer:
        """The next whole answer."""
        answer = await self.head()
        async with asyncio.timeout(PATIENCE):
            if not has_body or answer.status in {204, 304} or answer.status < 200:
                return answer
            if answer.values("transfer-encoding") == ["chunked"]:
                while size := int((await self.reader.readuntil(b"\r\n")).strip(), 16):
                    answer.body += await self.reader.readexactly(size)
                    assert await self.reader.readexactly(2) == b"\r\n"
                assert await self.reader.readexactly(2) == b"\r\n"
            elif length := answer.values("content-length"):
                answer.body = await self.reader.readexactly(int(length[0]))
            else:
                answer.body = await self.reader.read()
        return answer

    async def read_exactly(self, count: int) -> bytes:
        async with asyncio.timeout(PATIENCE):
            return await self.reader.readexactly(count)

    async def read_to_end(self) -> bytes:
        async with asyncio.timeout(PATIENCE):
            return await self.reader.read()

    async def ask(self, data: bytes) -> Answer:
        await self.send(data)
        return await self.answer()

    def close(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        raw = self.writer.get_extra_info("socket")
        with socket.fromfd(raw.fileno(), raw.family, raw.type) as twin:
            twin.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.writer.transport.abort()


@dataclass
class Rig:
    """Everything that a test talks to."""

    plane: DataPlane
    monolith: App
    content: App
    port: int
    clients: list[Client] = field(default_factory=list)
    version: int = 1
    placements: dict[str, Placement] = field(default_factory=dict)

    async def client(self) -> Client:
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port))
        self.clients.append(client)
        return client

    async def ask(self, data: bytes) -> Answer:
        """One request on a connection of its own."""
        client = await self.client()
        answer = await client.ask(data)
        client.close()
        return answer

    async def exchange(self, data: bytes) -> bytes:
        """Everything that comes back until the router closes."""
        client = await self.client()
        await client.send(data)
        found = await client.read_to_end()
        client.close()
        return found

    def flags(self, **changes: Any) -> None:
        """A new control state in which every route has these fields of its flag."""
        self.version += 1
        flags = {
            spec.name: Flag(
                spec.name, spec.service, **{"salt": "x", "writes": spec.writes} | changes
            )
            for spec in self.plane.routing.table.routes
        }
        self.plane.apply(ControlState(self.version, flags, self.placements))

    def causes(self) -> dict[str, int]:
        return {str(cause): count for cause, count in self.plane.metrics.causes.items()}

    async def settled(self) -> None:
        """Wait until the router has no request under way."""
        async with asyncio.timeout(PATIENCE):
            while self.plane.dispatcher.active:
                await asyncio.sleep(0.005)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def start_rig(
    monolith: Script | None = None,
    content: Script | None = None,
    *,
    limits: ClientLimits | None = None,
    upstream: UpstreamSettings | None = None,
    routes: tuple[RouteSpec, ...] = ROUTES,
    has_state: bool = True,
    percent: float = 0.0,
    has_service: bool = True,
    **settings: Any,
) -> AsyncIterator[Rig]:
    """Two apps, a data plane and a listening socket; everything is checked and closed afterwards."""
    apps = App("monolith", monolith or serve_ok), App("content", content or serve_ok)
    for app in apps:
        await app.start()
    chosen = upstream or UpstreamSettings(connect_seconds=2, first_byte_seconds=10)
    plane = DataPlane(
        PlaneSettings(
            table=RouteTable(routes),
            upstream_urls={app.name: app.url for app in apps[: 1 + has_service]},
            upstreams={"monolith": chosen, "content": chosen},
            limits=limits or ClientLimits(),
            **settings,
        )
    )
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    await plane.prepare()
    await plane.listen(listener)
    rig = Rig(plane, *apps, port=listener.getsockname()[1])
    if has_state:
        rig.flags(percent=percent)
    try:
        yield rig
        await rig.settled()
    finally:
        for client in rig.clients:
            client.writer.transport.abort()
        await plane.stop()
        for app in apps:
            await app.stop()
    assert not plane.dispatcher.active
    for row in plane.metrics.sides:
        assert row.in_flight == 0, f"{row.route} at {row.side} is counted as in flight for ever"
    async with asyncio.timeout(PATIENCE):
        while len(plane.sweeper) or any(app.open for app in apps):
            await asyncio.sleep(0.005)
    for app in apps:
        assert not app.errors, app.errors
