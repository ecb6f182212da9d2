"""The admin app: routes of the internal port over facts that the worker hands in; changes nothing."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal, Protocol

from fastapi import Body, Depends, FastAPI, HTTPException, Query, Request
from fastapi.responses import JSONResponse, PlainTextResponse

from router.admin.siblings import ask_siblings
from router.metrics import BUCKETS, Metrics
from router.routing import Routing
from shared.control.errors import ControlError
from shared.control.instances import list_instances
from shared.control.model import ControlState
from shared.control.rows import state_to_json
from shared.control.store import ControlStore
from shared.routing.explain import Question, explain


class Control(Protocol):
    """What the admin port shows of the control store."""

    state: ControlState | None
    connected: bool
    source: str
    last_error: str | None


@dataclass(frozen=True, slots=True)
class AdminFacts:
    """Everything that the admin port shows. An empty `token` closes all but the health routes."""

    name: str
    token: str
    database_url: str
    watcher: Control
    routing: Routing
    metrics: Metrics
    secrets: tuple[str, ...]
    counts: Callable[[], Mapping[str, object]]
    is_draining: Callable[[], bool]
    siblings: tuple[str, ...] = ()  # admin addresses of the other workers of this router


def admin_app(facts: AdminFacts) -> FastAPI:
    """The FastAPI app of the internal port."""
    app = FastAPI(title="router admin", docs_url=None, redoc_url=None, openapi_url=None)
    _add_health(app, facts)
    guarded = [Depends(_bearer(facts.token))]

    @app.get("/metrics", dependencies=guarded, response_class=PlainTextResponse)
    async def metrics() -> PlainTextResponse:
        return PlainTextResponse(facts.metrics.text(), media_type="text/plain; version=0.0.4")

    @app.get("/stats", dependencies=guarded)
    async def stats(scope: Literal["worker", "router"] = "worker") -> dict[str, Any]:
        """Counters of this worker, or with `scope=router` of every worker that answers."""
        if scope == "router":
            others = await ask_siblings(facts.siblings, "/stats", facts.token)
            return {"workers": [own_stats(), *others]}
        return own_stats()

    def own_stats() -> dict[str, Any]:
        return {
            "instance": facts.name,
            "time": time.time(),
            "bucket_seconds": list(BUCKETS),
            "counts": dict(facts.counts()),
            "routes": facts.metrics.stats(),
            "failures": dict(facts.metrics.causes),
        }

    @app.get("/state", dependencies=guarded)
    async def state() -> dict[str, Any]:
        control = facts.watcher
        return {
            "instance": facts.name,
            "connected": control.connected,
            "source": control.source,
            "last_error": control.last_error,
            "configured": sorted(facts.routing.configured),
            "state": state_to_json(control.state) if control.state is not None else None,
        }

    _add_explain(app, facts, guarded)
    _add_instances(app, facts, guarded)
    return app


def _add_health(app: FastAPI, facts: AdminFacts) -> None:
    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz")
    async def readyz() -> JSONResponse:
        control = facts.watcher
        is_ready = control.state is not None and not facts.is_draining()
        body = {
            "ready": is_ready,
            "draining": facts.is_draining(),
            "control": control.source,
            "connected": control.connected,
            "reason": None if control.state is not None else control.last_error,
        }
        return JSONResponse(body, status_code=200 if is_ready else 503)


def _add_explain(app: FastAPI, facts: AdminFacts, guarded: list[Any]) -> None:
    def answer(question: Question) -> dict[str, object]:
        return explain(
            question,
            facts.routing.table,
            facts.watcher.state,
            configured=facts.routing.configured,
            secrets=facts.secrets,
            now=time.time(),
        ).to_json()

    @app.get("/explain", dependencies=guarded)
    async def explain_get(
        method: Annotated[str, Query(max_length=16)],
        path: Annotated[str, Query(max_length=8192)],
        user: str | None = None,
        host: str = "",
        address: str = "127.0.0.1",
    ) -> dict[str, object]:
        return answer(Question(method, path, host=host, address=address, user=user))

    @app.post("/explain", dependencies=guarded)
    async def explain_post(
        method: Annotated[str, Body()],
        path: Annotated[str, Body()],
        user: Annotated[str | None, Body()] = None,
        host: Annotated[str, Body()] = "",
        address: Annotated[str, Body()] = "127.0.0.1",
        headers: Annotated[dict[str, str] | None, Body()] = None,
        body: Annotated[str | None, Body()] = None,
    ) -> dict[str, object]:
        raw = body.encode() if body is not None else None
        return answer(Question(method, path, host, address, headers or {}, raw, user))


def _add_instances(app: FastAPI, facts: AdminFacts, guarded: list[Any]) -> None:
    @app.get("/instances", dependencies=guarded)
    async def instances() -> list[dict[str, Any]]:
        try:
            store = await ControlStore.connect(
                facts.database_url, application_name="strangler/router-admin", max_size=1
            )
            try:
                return [asdict(instance) for instance in await list_instances(store)]
            finally:
                await store.close()
        except ControlError as error:
            raise HTTPException(503, error.message) from error


def _bearer(token: str) -> Callable[[Request], None]:
    def check(request: Request) -> None:
        if not token:
            raise HTTPException(403, "the admin port is closed; set ADMIN_TOKEN to open it")
        given = request.headers.get("authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
            raise HTTPException(401, "give the admin token", {"WWW-Authenticate": "Bearer"})

    return check
