"""Internal probes beside the contract: liveness, readiness, metrics."""

from __future__ import annotations

from fastapi import Request, Response
from starlette.responses import JSONResponse
from starlette.routing import Route

from monolith.system.checks import run_checks


async def alive(_request: Request) -> Response:
    """No input or output: the process answers."""
    return JSONResponse({"status": "ok"})


async def ready(request: Request) -> Response:
    """200 once the database answers."""
    checks = await run_checks(request.app.state.context)
    return JSONResponse({"checks": checks}, 200 if checks["database"] else 503)


async def metrics(request: Request) -> Response:
    return Response(request.app.state.metrics.text(), media_type="text/plain; version=0.0.4")


def routes() -> list[Route]:
    return [
        Route("/healthz", alive, methods=["GET"]),
        Route("/readyz", ready, methods=["GET"]),
        Route("/metrics", metrics, methods=["GET"]),
    ]
