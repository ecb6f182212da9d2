"""The apps behind the router: lends keep-alive connections and makes new ones; knows no routes."""

from __future__ import annotations

import asyncio
import random
import socket
from collections import deque
from dataclasses import dataclass, field
from typing import Final, cast
from urllib.parse import urlsplit

from router.addresses import Address, AddressList
from router.ejection import EjectionRules, Outlier
from router.failure import Cause
from router.health import keep_checking
from router.seams import Waiting
from router.sweeper import NEVER, Sweeper
from router.upstream_connection import ConnectionOwner, UpstreamConnection

#: An idle connection is used again for less time than the apps keep it (uvicorn: 5 s by default), so
#: that a request never meets a connection that the app is just closing. Seconds.
IDLE_SECONDS: Final = 4.0
#: A request that cannot be repeated gets a kept connection only when it was used this lately.
UNSAFE_IDLE_SECONDS: Final = 1.0
#: Pause between two looks at the name service, in seconds. Dokku moves an alias during a deploy.
RESOLVE_SECONDS: Final = 5.0
#: Requests that may wait for a free connection when the limit is reached.
MAX_WAITING: Final = 1024
#: Rounds over all addresses, and the first pause between two rounds in seconds (doubled, with jitter):
#: enough to pass over the moment in which an app changes its container.
CONNECT_ROUNDS: Final = 3
ROUND_PAUSE_SECONDS: Final = 0.05


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
    has_health_checks: bool = True
    ejection: EjectionRules = field(default_factory=EjectionRules)


class Upstream(ConnectionOwner):
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
        self.addresses = AddressList()
        self.outlier = Outlier(settings.ejection)
        self.connects = 0
        self._loop = loop
        self._sweeper = sweeper
        self._connecting: set[asyncio.Task[None]] = set()
        self._background: list[asyncio.Task[None]] = []
        self._waiting: deque[tuple[float, Waiting]] = deque()
        self.deadline = NEVER

    # ---- life -------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Resolve once, keep resolving and checking."""
        self._sweeper.add(self)
        await self._resolve()
        self._background.append(
            asyncio.create_task(self._keep_resolving(), name=f"resolve-{self.name}")
        )
        if self.settings.has_health_checks:
            checks = keep_checking(self.name, self.addresses, self.settings.health_path, self.host)
            self._background.append(asyncio.create_task(checks, name=f"health-{self.name}"))

    async def stop(self) -> None:
        """Close idle connections and stop everything under way."""
        self._sweeper.remove(self)
        tasks = {*self._background, *self._connecting}
        self._background = []
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for address in self.addresses.entries:
            _close_idle(address)

    @property
    def open_connections(self) -> int:
        return self.addresses.open

    def is_avoided(self, now: float) -> bool:
        """Whether requests that have another place to go should go there."""
        return self.outlier.is_ejected(now) or self.addresses.is_down

    # ---- lending ----------------------------------------------------------------------------------

    def acquire(self, user: Waiting, *, fresh: bool = False) -> None:
        """Give `user` a connection, now or soon: calls `upstream_ready` or `upstream_failed` once.

        `fresh` asks for a new connection: a kept one may be closing just now.
        """
        if not fresh:
            connection = self._kept(user)
            if connection is not None:
                self._lend(connection, user)
                return
        if self.open_connections + len(self._connecting) >= self.settings.max_connections:
            self._queue(user)
            return
        task = self._loop.create_task(self._connect_for(user))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    def _queue(self, user: Waiting) -> None:
        """Wait for a connection that somebody else gives back, as long as a connect may take."""
        if len(self._waiting) >= MAX_WAITING:
            user.upstream_failed(Cause.POOL_FULL)
            return
        deadline = self._loop.time() + self.settings.connect_seconds
        self._waiting.append((deadline, user))
        self.deadline = min(self.deadline, deadline)

    def _next_waiting(self) -> Waiting | None:
        while self._waiting:
            _, user = self._waiting.popleft()
            if user.is_waiting():
                return user
        return None

    def deadline_passed(self, now: float) -> None:
        """Who has waited too long for a connection hears it."""
        while self._waiting and self._waiting[0][0] <= now:
            _, user = self._waiting.popleft()
            if user.is_waiting():
                user.upstream_failed(Cause.POOL_FULL)
        self.deadline = self._waiting[0][0] if self._waiting else NEVER

    def _kept(self, user: Waiting) -> UpstreamConnection | None:
        entries = self.addresses.entries
        if len(entries) > 1:
            entries = self.addresses.in_order(self._loop.time())
        for address in entries:
            idle = address.idle
            while idle:
                connection = idle[-1]
                if not user.may_repeat and (
                    self._loop.time() - connection.idle_since > UNSAFE_IDLE_SECONDS
                ):
                    break
                idle.pop()
                if connection.is_usable:
                    return connection
        return None

    def _lend(self, connection: UpstreamConnection, user: Waiting) -> None:
        connection.lend(
            user,
            first_byte_seconds=user.first_byte_seconds,
            activity_seconds=self.settings.activity_seconds,
        )
        user.upstream_ready(connection)

    async def _connect_for(self, user: Waiting) -> None:
        cause = Cause.CONNECT_FAILED
        try:
            async with asyncio.timeout(self.settings.connect_seconds):
                connection = await self._connect(user)
        except TimeoutError:
            connection, cause = None, Cause.CONNECT_TIMEOUT
        if connection is None:
            if user.is_waiting():
                user.upstream_failed(cause)
        elif user.is_waiting():
            self._lend(connection, user)
        else:
            self.connection_idle(connection)

    async def _connect(self, user: Waiting) -> UpstreamConnection | None:
        """A new connection to the first address that accepts; None when none does.

        Somebody without another place to go is tried for a little longer: a container that was just
        replaced refuses for a moment, and nothing was sent yet.
        """
        if not self.addresses.entries:
            await self._resolve()
        patient = not user.has_other_side and not self.is_avoided(self._loop.time())
        pause = ROUND_PAUSE_SECONDS
        for _ in range(CONNECT_ROUNDS if patient else 1):
            for address in self.addresses.in_order(self._loop.time()):
                connection = await self._open(address)
                if connection is not None:
                    return connection
            if patient:
                await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
                pause *= 2
                await self._resolve()
        return None

    async def _open(self, address: Address) -> UpstreamConnection | None:
        connection = UpstreamConnection(self._loop, self._sweeper, self, address)
        share = self.settings.connect_seconds / (len(self.addresses.entries) or 1)
        try:
            async with asyncio.timeout(share * 0.9):
                protocol = cast(asyncio.Protocol, connection)
                await self._loop.create_connection(lambda: protocol, address.host, address.port)
        except (OSError, TimeoutError):
            connection.close_idle()
            return None
        if not connection.is_usable:
            return None
        connection.watch()
        address.open += 1
        self.connects += 1
        return connection

    # ---- what connections report --------------------------------------------------------------------

    def connection_idle(self, connection: UpstreamConnection) -> None:
        """A connection may be used again: by who waits, else later."""
        user = self._next_waiting()
        if user is not None:
            self._lend(connection, user)
            return
        address = connection.pool_key
        assert isinstance(address, Address)  # noqa: S101 - set when it was made
        limit = min(IDLE_SECONDS, connection.idle_limit - 1.0)
        if limit <= 0 or address not in self.addresses.entries:
            connection.close_idle()
            return
        connection.deadline = connection.idle_since + limit
        address.idle.append(connection)

    def connection_lost(self, connection: UpstreamConnection) -> None:
        address = connection.pool_key
        assert isinstance(address, Address)  # noqa: S101 - set when it was made
        if connection.counted:
            address.open -= 1
        if connection in address.idle:
            address.idle.remove(connection)
        user = self._next_waiting()
        if user is not None:
            self.acquire(user, fresh=True)

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
        for address in self.addresses.replace(keys, self._loop.time()):
            _close_idle(address)


def _close_idle(address: Address) -> None:
    idle, address.idle = address.idle, []
    for connection in idle:
        connection.close_idle()
