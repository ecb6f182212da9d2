"""The apps behind the router: their addresses and keep-alive connections; knows no routes and no clients."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from dataclasses import dataclass
from urllib.parse import urlsplit

from router.failure import Cause
from router.seams import Waiting
from router.sweeper import Sweeper
from router.upstream_connection import UpstreamConnection

#: An idle connection is used again for less time than the apps keep it (uvicorn: 5 s by default), so
#: that a request never meets a connection that the app is just closing. Seconds.
IDLE_SECONDS = 4.0
#: Idle connections kept per address.
MAX_IDLE = 128
#: Pause between two looks at the name service, in seconds. Dokku moves an alias during a deploy.
RESOLVE_SECONDS = 5.0
#: Requests that may wait for a free connection when the limit is reached.
MAX_WAITING = 1024


class UpstreamUrlError(ValueError):
    """An upstream address that cannot be used."""


@dataclass(frozen=True, slots=True)
class UpstreamSettings:
    """Limits of one app. Seconds."""

    connect_seconds: float = 2.0
    first_byte_seconds: float = 60.0
    activity_seconds: float = 100.0
    max_connections: int = 512
    health_path: str = "/healthz"


class Address:
    """One resolved address of an app with its idle connections, newest last."""

    __slots__ = ("host", "idle", "open", "port")

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self.idle: list[UpstreamConnection] = []
        self.open = 0

    @property
    def key(self) -> tuple[str, int]:
        return (self.host, self.port)


class Upstream:
    """One app: the monolith or a service."""

    def __init__(
        self,
        name: str,
        url: str,
        settings: UpstreamSettings,
        loop: asyncio.AbstractEventLoop,
        sweeper: Sweeper,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname or parts.path.strip("/"):
            raise UpstreamUrlError(
                f"the address of {name} is {url!r}; it must look like http://host:port"
            )
        self.name = name
        self.host = parts.hostname
        self.port = parts.port or 80
        self.settings = settings
        self.addresses: list[Address] = []
        self.connects = 0
        self._loop = loop
        self._sweeper = sweeper
        self._turn = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting: deque[Waiting] = deque()
        self._resolver: asyncio.Task[None] | None = None

    # ---- life -------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Resolve once and keep resolving."""
        await self._resolve()
        self._resolver = asyncio.create_task(self._keep_resolving(), name=f"resolve-{self.name}")

    async def stop(self) -> None:
        """Close idle connections and stop everything under way."""
        for task in (self._resolver, *self._tasks):
            if task is not None:
                task.cancel()
                await asyncio.wait({task})
        self._resolver = None
        for address in self.addresses:
            for connection in address.idle:
                connection.close_idle()
            address.idle.clear()

    @property
    def open_connections(self) -> int:
        return sum(address.open for address in self.addresses)

    # ---- lending ----------------------------------------------------------------------------------

    def acquire(self, user: Waiting, *, fresh: bool = False) -> None:
        """Give `user` a connection, now or soon: calls `upstream_ready` or `upstream_failed` once.

        `fresh` asks for a new connection: a kept one may be closing just now.
        """
        if not fresh:
            connection = self._idle_connection()
            if connection is not None:
                self._lend(connection, user)
                return
        if self.open_connections + len(self._tasks) >= self.settings.max_connections:
            if len(self._waiting) >= MAX_WAITING:
                user.upstream_failed(Cause.POOL_FULL)
            else:
                self._waiting.append(user)
            return
        task = self._loop.create_task(self._connect_for(user))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _idle_connection(self) -> UpstreamConnection | None:
        addresses = self.addresses
        if len(addresses) > 1:
            self._turn += 1
            turn = self._turn % len(addresses)
            addresses = addresses[turn:] + addresses[:turn]
        for address in addresses:
            idle = address.idle
            while idle:
                connection = idle.pop()
                if connection.is_usable:
                    return connection
        return None

    async def _connect_for(self, user: Waiting) -> None:
        cause = Cause.CONNECT_FAILED
        try:
            async with asyncio.timeout(self.settings.connect_seconds):
                connection = await self._connect()
        except TimeoutError:
            connection, cause = None, Cause.CONNECT_TIMEOUT
        if connection is None:
            if user.is_waiting():
                user.upstream_failed(cause)
        elif user.is_waiting():
            self._lend(connection, user)
        else:
            self._idle(connection)

    def _lend(self, connection: UpstreamConnection, user: Waiting) -> None:
        connection.lend(
            user,
            first_byte_seconds=user.first_byte_seconds,
            activity_seconds=self.settings.activity_seconds,
        )
        user.upstream_ready(connection)

    async def _connect(self) -> UpstreamConnection | None:
        """A new connection to the first address that accepts; None when none does."""
        if not self.addresses:
            await self._resolve()
        self._turn += 1
        count = len(self.addresses)
        for step in range(count):
            address = self.addresses[(self._turn + step) % count]
            connection = UpstreamConnection(
                self._loop, self._sweeper, self._idle, self._lost, address
            )
            try:
                await self._loop.create_connection(
                    lambda made=connection: made,  # type: ignore[misc]
                    address.host,
                    address.port,
                )
            except OSError:
                continue
            if connection.is_usable:
                connection.counted = True
                address.open += 1
                self.connects += 1
                return connection
        return None

    # ---- what connections report --------------------------------------------------------------------

    def _idle(self, connection: UpstreamConnection) -> None:
        """A connection may be used again: by who waits, else later."""
        while self._waiting:
            user = self._waiting.popleft()
            if user.is_waiting():
                self._lend(connection, user)
                return
        address = connection.pool_key
        assert isinstance(address, Address)  # noqa: S101 - set when it was made
        if len(address.idle) >= MAX_IDLE or address not in self.addresses:
            connection.close_idle()
            return
        limit = min(IDLE_SECONDS, connection.idle_limit - 1.0)
        if limit <= 0:
            connection.close_idle()
            return
        connection.deadline = self._loop.time() + limit
        address.idle.append(connection)

    def _lost(self, connection: UpstreamConnection) -> None:
        address = connection.pool_key
        assert isinstance(address, Address)  # noqa: S101 - set when it was made
        if connection.counted:
            address.open -= 1
        if connection in address.idle:
            address.idle.remove(connection)
        while self._waiting:
            user = self._waiting.popleft()
            if user.is_waiting():
                self.acquire(user, fresh=True)
                return

    # ---- names --------------------------------------------------------------------------------------

    async def _keep_resolving(self) -> None:
        while True:
            await asyncio.sleep(RESOLVE_SECONDS)
            await self._resolve()

    async def _resolve(self) -> None:
        """Take over the addresses of the name; keep the old ones when the name service fails."""
        try:
            async with asyncio.timeout(self.settings.connect_seconds):
                found = await self._loop.getaddrinfo(
                    self.host, self.port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
                )
        except (OSError, TimeoutError):
            return
        keys = list(dict.fromkeys((str(entry[4][0]), int(entry[4][1])) for entry in found))
        known = {address.key: address for address in self.addresses}
        self.addresses = [known.get(key) or Address(*key) for key in keys]
        for key, address in known.items():
            if key not in keys:
                for connection in address.idle:
                    connection.close_idle()
                address.idle.clear()
