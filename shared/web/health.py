"""Health of one app: `/health` of the contract (2.8) and the internal probes; no probe costs money."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Scope

from shared.contract.system import Health, HealthChecks

CHECK_SECONDS = 1.0  # contract, 2.8
KEEP_SECONDS = 1.0  # probes of several watchers within this share one answer

#: True: works. Any exception or a wait of more than CHECK_SECONDS counts as False.
Check = Callable[[], Awaitable[bool]]

INTERNAL_PATHS = ("/healthz", "/readyz", "/metrics")


class HealthBoard:
    """Runs the checks of an app, all at once, each within a second.

    `database`, `redis` and `broker` are the contract's; further ones only show in `/readyz`.
    An app is ready when its `required` checks pass and it is not draining.
    """

    def __init__(
        self,
        service: str,
        version: str,
        checks: Mapping[str, Check],
        required: frozenset[str] = frozenset({"database"}),
    ) -> None:
        self._service = service
        self._version = version
        self._checks = dict(checks)
        self._required = required
        self._found: dict[str, bool] = {}
        self._found_at = float("-inf")
        self._asking = asyncio.Lock()
        self._on_drain: list[Callable[[], None]] = []
        self.is_draining = False

    def on_drain(self, call: Callable[[], None]) -> None:
        """Call something once when the app is told to stop."""
        self._on_drain.append(call)

    def begin_drain(self) -> None:
        """Not ready from now on; answers say `Connection: close`. Runs once."""
        if not self.is_draining:
            self.is_draining = True
            for call in self._on_drain:
                call()

    def add(self, name: str, check: Check, *, required: bool = False) -> None:
        """Add or replace a check; services do this in their lifespan hook."""
        self._checks[name] = check
        if required:
            self._required |= {name}

    async def results(self) -> dict[str, bool]:
        """Every check by name, at most KEEP_SECONDS old."""
        loop = asyncio.get_running_loop()
        async with self._asking:
            if loop.time() - self._found_at > KEEP_SECONDS:
                names = list(self._checks)
                passed = await asyncio.gather(*(_passes(self._checks[name]) for name in names))
                self._found = dict(zip(names, passed, strict=True))
                self._found_at = loop.time()
            return self._found

    async def health(self) -> tuple[int, Health]:
        """Status and body of `GET /health`."""
        found = await self.results()
        checks = HealthChecks(
            database=found.get("database", True),
            redis=found.get("redis", True),
            broker=found.get("broker", True),
        )
        is_degraded = not (checks.redis and checks.broker)
        status = "unhealthy" if not checks.database else "degraded" if is_degraded else "healthy"
        body = Health(
            status=status,
            service=self._service,
            version=self._version,
            checks=checks,
            timestamp=datetime.now(UTC),
        )
        return (200 if checks.database else 503), body

    async def readiness(self) -> tuple[int, dict[str, object]]:
        """Status and body of `GET /readyz`."""
        found = await self.results()
        is_ready = not self.is_draining and all(found.get(name, True) for name in self._required)
        body = {"ready": is_ready, "draining": self.is_draining, "checks": found}
        return (200 if is_ready else 503), body


async def health(request: Request) -> Response:
    """`GET /health`, public."""
    status, body = await _board(request).health()
    return Response(body.model_dump_json(), status_code=status, media_type="application/json")


async def healthz(request: Request) -> Response:
    """`GET /healthz`: the process answers. No I/O."""
    return JSONResponse({"status": "ok", "service": request.app.title})


async def readyz(request: Request) -> Response:
    """`GET /readyz`: send traffic here or not."""
    status, body = await _board(request).readiness()
    return JSONResponse(body, status_code=status)


async def metrics(request: Request) -> Response:
    """`GET /metrics` for Prometheus."""
    return Response(generate_latest(REGISTRY), headers={"Content-Type": CONTENT_TYPE_LATEST})


def is_draining(scope: Scope) -> bool:
    """Whether the app that serves this scope was told to stop."""
    app = scope.get("app")
    board: HealthBoard | None = getattr(app.state, "health", None) if app is not None else None
    return board is not None and board.is_draining


async def _passes(check: Check) -> bool:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return await check()
    except Exception:  # whatever is wrong with a dependency, it does not work
        return False


def _board(request: Request) -> HealthBoard:
    board: HealthBoard = request.app.state.health
    return board
