"""One worker: joins the data plane with the control store and the admin port, serves, drains."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import sys
from collections.abc import Callable

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from router.admin.app import AdminFacts, admin_app
from router.admin.server import serve_admin
from router.client_limits import ClientLimits
from router.data_plane import DataPlane, PlaneSettings
from router.edge.build import build_gate
from router.native import is_compiled
from router.settings import RouterSettings
from router.upstreams import UpstreamSettings
from shared.control.instances import InstanceInfo
from shared.control.watch import ControlWatcher
from shared.manifest import Manifest
from shared.manifest import Upstream as ManifestUpstream
from shared.redis_connection import open_redis
from shared.routing.from_manifest import route_table

#: How often a worker looks whether its supervisor is still there, in seconds.
SUPERVISOR_CHECK_SECONDS = 1.0
#: Pause between two looks at Redis, in seconds.
REDIS_CHECK_SECONDS = 5.0

log = structlog.get_logger("router")


class Worker:
    """All parts of one router process."""

    def __init__(
        self,
        settings: RouterSettings,
        manifest: Manifest,
        *,
        number: int,
        listener: socket.socket,
        admin_listener: socket.socket,
    ) -> None:
        self._settings = settings
        self._drain_seconds = manifest.router.drain_seconds
        self._listener = listener
        self._admin_listener = admin_listener
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        self._number = number
        self.name = settings.worker_name(number)
        self._redis_answers = True
        self._redis = open_redis(settings.redis_url) if settings.redis_url else None
        self.plane = DataPlane(
            plane_settings(
                settings,
                manifest,
                instance=self.name,
                redis=self._redis,
                checks=lambda: self._checks(),
            )
        )
        self.watcher = ControlWatcher(
            settings.shared_database_url,
            instance=InstanceInfo(
                id=f"router/{self.name}",
                kind="router",
                name=self.name,
                host=socket.gethostname(),
                pid=os.getpid(),
            ),
            snapshot=settings.worker_snapshot(number),
            on_change=self.plane.apply,
            stats=self.plane.counts,
        )
        gauge = self.plane.metrics.gauge
        gauge("router_control_connected", lambda: float(self.watcher.connected))
        gauge("router_control_version", self._version)

    def _version(self) -> float:
        return float(self.watcher.state.version) if self.watcher.state is not None else -1.0

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then let what is under way finish."""
        self._catch_signals()
        await self.plane.prepare()
        await self.watcher.start()
        await self.plane.listen(self._listener)
        admin = asyncio.create_task(
            serve_admin(admin_app(self._facts()), self._admin_listener), name="admin"
        )
        orphaned = asyncio.create_task(self._stop_when_orphaned(), name="supervisor-check")
        redis_check = asyncio.create_task(self._keep_asking_redis(), name="redis-check")
        log.info(
            "router_started",
            instance=self.name,
            port=self._settings.port,
            is_compiled=is_compiled(),
        )
        # What was made at the start stays: collecting it again and again stops every request for many
        # milliseconds, the most of the slowest one percent.
        gc.collect()
        gc.freeze()
        try:
            await self._stopping.wait()
            log.info("router_draining", instance=self.name, **self.plane.counts())
            cut = await self.plane.drain(self._drain_seconds)
            if cut:
                log.warning("router_drain_cut", instance=self.name, clients=cut)
        finally:
            for task in (admin, orphaned, redis_check):
                task.cancel()
            await asyncio.wait({admin, orphaned, redis_check})
            await self.watcher.stop()
            await self.plane.stop()
            if self._redis is not None:
                await self._redis.aclose()
            log.info("router_stopped", instance=self.name)

    def _checks(self) -> dict[str, bool]:
        """The checks of `GET /health`; the router uses no broker."""
        return {
            "database": self.watcher.connected,
            "redis": self._redis_answers,
            "broker": True,
        }

    async def _keep_asking_redis(self) -> None:
        """Redis only counts rates: without it the router is degraded, not down."""
        while self._redis is not None:
            try:
                await self._redis.ping()
                self._redis_answers = True
            except (RedisError, OSError):
                self._redis_answers = False
            await asyncio.sleep(REDIS_CHECK_SECONDS)

    def _catch_signals(self) -> None:
        """The first signal starts the drain; a second SIGTERM changes nothing (Dokku sends one)."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._stopping.set)

    async def _stop_when_orphaned(self) -> None:
        """A worker whose supervisor was killed would serve on unseen: it drains instead."""
        supervisor = os.getenv("ROUTER_SUPERVISOR")
        while supervisor is not None:
            if os.getppid() != int(supervisor):
                log.error("supervisor_gone", instance=self.name)
                self._stopping.set()
                return
            await asyncio.sleep(SUPERVISOR_CHECK_SECONDS)

    def _facts(self) -> AdminFacts:
        return AdminFacts(
            name=self.name,
            token=self._settings.admin_token,
            database_url=self._settings.shared_database_url,
            watcher=self.watcher,
            routing=self.plane.routing,
            metrics=self.plane.metrics,
            secrets=self._settings.override_secrets,
            counts=self.plane.counts,
            is_draining=lambda: self.plane.dispatcher.is_draining,
            siblings=tuple(
                f"http://{self._settings.admin_host}:{self._settings.admin_port + number}"
                for number in range(self._settings.workers)
                if number != self._number
            ),
        )


def plane_settings(
    settings: RouterSettings,
    manifest: Manifest,
    *,
    instance: str,
    redis: Redis | None,
    checks: Callable[[], dict[str, bool]],
) -> PlaneSettings:
    """The data plane's settings from environment and manifest."""
    entries = {"monolith": manifest.monolith.upstream} | {
        name: service.upstream for name, service in manifest.services.items()
    }
    router = manifest.router
    table = route_table(manifest)
    return PlaneSettings(
        table=table,
        upstream_urls=settings.upstream_urls,
        upstreams={name: _upstream_settings(entry) for name, entry in entries.items()},
        limits=ClientLimits(
            max_head_bytes=router.max_header_bytes,
            max_url_bytes=router.max_url_bytes,
            header_seconds=router.header_seconds,
            idle_seconds=router.idle_seconds,
            max_clients=settings.max_clients,
        ),
        max_body_bytes=router.max_body_bytes,
        trusted_proxies=settings.trusted_proxies,
        allowed_origins=settings.allowed_origins,
        override_secrets=settings.override_secrets,
        version=settings.version,
        checks=checks,
        instance=instance,
        access_log_sample=settings.access_log_sample,
        access_log_stream=sys.stdout,
        edge=build_gate(
            table.routes,
            redis,
            settings.token_issuers,
            settings.identity_secrets,
        ),
    )


def _upstream_settings(entry: ManifestUpstream) -> UpstreamSettings:
    return UpstreamSettings(
        connect_seconds=entry.connect_seconds,
        first_byte_seconds=entry.first_byte_seconds,
        activity_seconds=entry.activity_seconds,
        max_connections=entry.max_connections,
        health_path=entry.health_path,
    )
