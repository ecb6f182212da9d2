"""Builds and runs the data plane of one worker: everything between the two sockets; knows no control store."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TextIO, cast

from router.access_log import AccessLog
from router.attempts import Attempts
from router.client_connection import ClientConnection
from router.client_limits import ClientLimits
from router.dispatch import Dispatcher, DispatchParts
from router.edge.gate import EdgeGate
from router.exchange import Exchange
from router.hold import HoldRoom
from router.metrics import Metrics
from router.replies import Replies
from router.routing import Routing
from router.sweeper import Sweeper
from router.trust import TrustedProxies
from router.upstreams import Upstream, UpstreamSettings
from shared.control.model import ControlState
from shared.routing.routes import RouteTable

#: Connections that the kernel keeps for a busy worker.
BACKLOG = 2048
#: An idle client connection is closed this long after the drain began, so that a request that is
#: just on its way still finds somebody, in seconds.
IDLE_GRACE_SECONDS = 2.0
#: At a drain, open sockets are asked to come again spread over this time, in seconds: their clients must
#: not all meet the new router at once.
RECONNECT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class PlaneSettings:
    """What the data plane needs to know. `upstream_urls` by name: monolith and services."""

    table: RouteTable
    upstream_urls: Mapping[str, str]
    upstreams: Mapping[str, UpstreamSettings] = field(default_factory=dict)
    limits: ClientLimits = field(default_factory=ClientLimits)
    max_body_bytes: int = 50 * 1024 * 1024
    trusted_proxies: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    override_secrets: tuple[str, ...] = ()
    version: str = "dev"
    checks: Callable[[], dict[str, bool]] = dict
    instance: str = "router"
    access_log_sample: float = 0.0
    access_log_stream: TextIO | None = None
    edge: EdgeGate = field(default_factory=lambda: EdgeGate(None, None, {}))


class DataPlane:
    """Upstreams, routing and dispatch of one worker. Start it inside the loop that it serves on."""

    def __init__(self, settings: PlaneSettings) -> None:
        self._loop = asyncio.get_running_loop()
        self._server: asyncio.Server | None = None
        self.metrics = Metrics()
        self.sweeper = Sweeper(self._loop)
        self.upstreams = {
            name: Upstream(
                name,
                url,
                settings.upstreams.get(name) or UpstreamSettings(),
                self._loop,
                self.sweeper,
            )
            for name, url in settings.upstream_urls.items()
        }
        self.routing = Routing(
            settings.table,
            configured=frozenset(self.upstreams) - {"monolith"},
            max_body_bytes=settings.max_body_bytes,
            metrics=self.metrics,
        )
        self.access_log = (
            AccessLog(
                settings.access_log_stream,
                settings.access_log_sample,
                settings.instance,
                self.metrics,
            )
            if settings.access_log_stream is not None
            else None
        )
        active: set[Exchange] = set()
        self.attempts = Attempts(self._loop, self.upstreams, self.routing, self.metrics, active)
        self.dispatcher = Dispatcher(
            self._loop,
            DispatchParts(
                routing=self.routing,
                attempts=self.attempts,
                metrics=self.metrics,
                replies=Replies(settings.allowed_origins),
                trusted=TrustedProxies(settings.trusted_proxies),
                limits=settings.limits,
                edge=settings.edge,
                active=active,
                override_secrets=settings.override_secrets,
                version=settings.version,
                checks=settings.checks,
                access_log=self.access_log,
            ),
        )
        self.hold_room = HoldRoom(
            self._loop, self.sweeper, self.dispatcher.go_on, self.dispatcher.begin_stream
        )
        self.dispatcher.hold_room = self.hold_room
        self._describe_gauges()

    async def prepare(self) -> None:
        """Resolve the upstreams; requests may come once there is a control state."""
        self.sweeper.start()
        self.hold_room.start()
        if self.access_log is not None:
            self.access_log.start()
        await asyncio.gather(*(upstream.start() for upstream in self.upstreams.values()))

    async def listen(self, listener: socket.socket) -> None:
        """Serve clients on a bound socket."""
        self._server = await self._loop.create_server(
            self._accept,
            sock=listener,
            backlog=BACKLOG,
        )

    def _accept(self) -> asyncio.Protocol:
        return cast(asyncio.Protocol, ClientConnection(self._loop, self.sweeper, self.dispatcher))

    async def drain(self, seconds: float) -> int:
        """No new connections; what is under way finishes. How many clients had to be cut."""
        dispatcher = self.dispatcher
        dispatcher.is_draining = True
        if self._server is not None:
            self._server.close()
        dispatcher.part_from_sockets(min(RECONNECT_SECONDS, seconds / 4))
        started = self._loop.time()
        while (passed := self._loop.time() - started) < seconds:
            if passed > min(IDLE_GRACE_SECONDS, seconds / 2):
                for client in tuple(dispatcher.clients):
                    client.close_if_idle()
            if not dispatcher.clients:
                return 0
            await asyncio.sleep(0.05)
        left = len(dispatcher.clients)
        for client in tuple(dispatcher.clients):
            client.reset()
        return left

    async def stop(self) -> None:
        """Close everything that is still open."""
        if self._server is not None:
            self._server.close()
        for client in tuple(self.dispatcher.clients):
            client.reset()
        for upstream in self.upstreams.values():
            await upstream.stop()
        if self.access_log is not None:
            await self.access_log.stop()
        self.hold_room.stop()
        self.sweeper.stop()

    def counts(self) -> Mapping[str, object]:
        """What the control store shows of this instance."""
        return {
            "in_flight": len(self.dispatcher.active) - len(self.hold_room),
            "held": len(self.hold_room),
            "held_by_route": self.hold_room.per_route(),
            "in_flight_by_route": {
                f"{row.route}/{row.side}": row.in_flight
                for row in self.metrics.sides
                if row.in_flight
            },
        }

    def apply(self, state: ControlState) -> None:
        """Obey a control state."""
        self.dispatcher.apply(state)

    def _describe_gauges(self) -> None:
        gauge, dispatcher = self.metrics.gauge, self.dispatcher
        gauge("router_client_connections", lambda: len(dispatcher.clients))
        gauge("router_client_connections_limit", lambda: dispatcher.limits.max_clients)
        gauge("router_held", lambda: len(self.hold_room))
        gauge("router_memory_bytes", _resident_bytes)
        # What an open connection or stream costs: growth since the start, by those that are open now.
        empty = _resident_bytes()
        gauge(
            "router_memory_bytes_per_client",
            lambda: max(_resident_bytes() - empty, 0.0) / max(len(dispatcher.clients), 1),
        )
        gauge("router_tasks", lambda: len(asyncio.all_tasks(self._loop)))
        gauge("router_open_files", lambda: sum(1 for _ in Path("/proc/self/fd").iterdir()))
        for upstream in self.upstreams.values():
            label = f'upstream="{upstream.name}"'
            gauge("router_upstream_connections", partial(_connections, upstream), label)
            gauge("router_upstream_avoided", partial(self._is_avoided, upstream), label)

    def _is_avoided(self, upstream: Upstream) -> float:
        return float(upstream.is_avoided(self._loop.time()))


def _connections(upstream: Upstream) -> float:
    return float(upstream.open_connections)


def _resident_bytes() -> float:
    """Memory of this process, in bytes (proc(5), statm)."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return float(pages * os.sysconf("SC_PAGE_SIZE"))
