"""GET /health and GET /api/status."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from fastapi import Response

from monolith.calls import CurrentCall, reply
from monolith.routes import DomainRouter
from monolith.system.checks import run_checks
from monolith.system.status import StatusAnswer, StatusBoard
from monolith.values import Timestamp, Wire

router = DomainRouter("system")


class Checks(Wire):
    database: bool
    redis: bool
    broker: bool


class HealthAnswer(Wire):
    status: Literal["healthy", "degraded", "unhealthy"]
    service: str
    version: str
    checks: Checks
    timestamp: Timestamp


@router.route(
    "health",
    "GET",
    "/health",
    auth="public",
    kind="read",
    bucket="none",
    answer=HealthAnswer,
    also={503: {"model": HealthAnswer}},
)
async def health(call: CurrentCall) -> Response:
    checks = await run_checks(call.context)
    state: Literal["healthy", "degraded", "unhealthy"] = "healthy"
    if not checks["database"]:
        state = "unhealthy"
    elif not all(checks.values()):
        state = "degraded"
    body = HealthAnswer(
        status=state,
        service="monolith",
        version=call.context.settings.version,
        checks=Checks(**checks),
        timestamp=datetime.now(UTC),
    )
    return reply(body, 503 if state == "unhealthy" else 200)


@router.route(
    "status", "GET", "/api/status", auth="public", kind="read", bucket="none", answer=StatusAnswer
)
async def status(call: CurrentCall) -> Response:
    return reply(await call.context.part(StatusBoard).answer(call.context))
