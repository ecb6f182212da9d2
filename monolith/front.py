"""The front door of the app: request ids, CORS, slashes, HEAD, OPTIONS, 404, 405, maintenance, log."""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

from fastapi import Response
from starlette.datastructures import Headers, MutableHeaders
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from monolith.calls import Contract
from monolith.context import Context
from monolith.errors import ApiError, malformed, not_found
from monolith.gates import CONTRACT, error_response
from monolith.metrics import Metrics

log = logging.getLogger("monolith.access")
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
ALIAS = ("/api/image", "/api/images")  # old mobile builds
ALLOW_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
ALLOW_HEADERS = (
    "Authorization, Content-Type, Idempotency-Key, If-None-Match, X-Request-Id, X-Client-Version"
)
EXPOSE_HEADERS = (
    "X-Request-Id, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, Retry-After, ETag,"
    " Idempotency-Replayed, X-Remaining-Quota, Content-Disposition"
)
PREFLIGHT_SECONDS = 600
METHOD_ORDER = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


@dataclass(slots=True)
class Known:
    """A path that exists: its methods with the contract behind each (None: an internal path)."""

    contracts: dict[str, Contract | None] = field(default_factory=dict)

    def allow(self) -> str:
        methods = set(self.contracts) | {"OPTIONS"}
        if "GET" in methods:
            methods.add("HEAD")
        return ", ".join(m for m in METHOD_ORDER if m in methods)

    def any_contract(self) -> Contract | None:
        return next((c for c in self.contracts.values() if c is not None), None)


class PathTable:
    """Which methods a path has, over all routes that fit it."""

    def __init__(self, routes: Iterable[BaseRoute]) -> None:
        self._plain: dict[str, Known] = {}
        self._patterns: dict[int, list[tuple[re.Pattern[str], str, Contract | None]]] = {}
        for route in routes:
            if not isinstance(route, Route | WebSocketRoute):
                continue
            contract = getattr(route.endpoint, CONTRACT, None)
            methods = route.methods if isinstance(route, Route) else {"GET"}
            for method in methods or ():
                self._add(route.path, route.path_regex, method, contract)

    def _add(
        self, path: str, pattern: re.Pattern[str], method: str, contract: Contract | None
    ) -> None:
        if "{" in path:
            self._patterns.setdefault(path.count("/"), []).append((pattern, method, contract))
        else:
            self._plain.setdefault(path, Known()).contracts[method] = contract

    def find(self, path: str) -> Known | None:
        known = Known(dict(self._plain[path].contracts)) if path in self._plain else Known()
        for pattern, method, contract in self._patterns.get(path.count("/"), ()):
            if method not in known.contracts and pattern.match(path):
                known.contracts[method] = contract
        return known if known.contracts else None


class FrontDoor:
    """ASGI middleware around the routes."""

    def __init__(
        self, app: ASGIApp, *, context: Context, routes: Sequence[BaseRoute], metrics: Metrics
    ) -> None:
        self._app = app
        self._context = context
        self._table = PathTable(routes)
        self._metrics = metrics
        self._origins = frozenset(context.settings.allowed_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if REQUEST_ID.fullmatch(given) else str(uuid.uuid4())
        scope = {**scope, "request_id": request_id, "path": _unaliased(scope["path"])}
        exchange = _Exchange(send, request_id, self._cors(headers), scope["method"] == "HEAD")
        started = time.perf_counter()
        known = self._table.find(scope["path"])
        try:
            response = await self._before_routes(scope, headers, known)
            if response is not None:
                await response(scope, receive, exchange.send)
            else:
                method = "GET" if scope["method"] == "HEAD" else scope["method"]
                await self._app({**scope, "method": method}, receive, exchange.send)
        except Exception as error:
            if exchange.status:
                raise
            await error_response(error, request_id)(scope, receive, exchange.send)
        self._note(scope, known, exchange, time.perf_counter() - started)

    async def _before_routes(
        self, scope: Scope, headers: Headers, known: Known | None
    ) -> Response | None:
        """The answer for whatever does not reach a handler, else None."""
        method, path = scope["method"], scope["path"]
        if method == "OPTIONS" and "access-control-request-method" in headers:
            return Response(status_code=204)
        first = known.any_contract() if known else None
        contract = (
            (known.contracts.get("GET" if method == "HEAD" else method) or first) if known else None
        )
        if (contract is None or contract.domain != "system") and method != "OPTIONS":
            domain, kind = (contract.domain, contract.kind) if contract else ("all", "unknown")
            if known is None or contract is not None:
                refused = await self._context.maintenance.refusal(domain, kind)
                if refused is not None:
                    raise refused
        if "//" in path or "\\" in path:
            raise not_found("No such path")
        if known is None:
            if path != "/" and _ends_in_slash(scope) and method in {"GET", "HEAD"}:
                return Response(status_code=307, headers={"Location": _without_slash(scope)})
            raise not_found("No such path")
        if method == "OPTIONS":
            return Response(status_code=204, headers={"Allow": known.allow()})
        if (method if method != "HEAD" else "GET") not in known.contracts:
            raise ApiError(
                "METHOD_NOT_ALLOWED",
                f"{method} is not known here",
                headers={"Allow": known.allow()},
            )
        if contract is None and "x-forwarded-for" in headers:
            raise not_found("No such path")  # internal probes are not for the public host
        if contract is not None and contract.kind == "websocket":
            raise malformed("This address speaks WebSocket only")
        return None

    def _cors(self, headers: Headers) -> dict[str, str]:
        if not self._origins:
            return {}
        origin = headers.get("origin")
        if origin is None or origin not in self._origins:
            return {"Vary": "Origin"}
        cors = {
            "Vary": "Origin",
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Allow-Credentials": "true",
            "Access-Control-Expose-Headers": EXPOSE_HEADERS,
        }
        if "access-control-request-method" in headers:
            cors["Access-Control-Allow-Methods"] = ALLOW_METHODS
            cors["Access-Control-Allow-Headers"] = ALLOW_HEADERS
            cors["Access-Control-Max-Age"] = str(PREFLIGHT_SECONDS)
        return cors

    def _note(self, scope: Scope, known: Known | None, exchange: _Exchange, seconds: float) -> None:
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        contract = known.contracts.get(method) if known else None
        name = contract.name if contract else "-"
        self._metrics.count(name, exchange.status, seconds)
        log.info(
            "%s %s %s",
            scope["method"],
            scope["path"],
            exchange.status,
            extra={
                "request_id": scope["request_id"],
                "route": name,
                "status": exchange.status,
                "duration_ms": round(seconds * 1000, 2),
            },
        )


class _Exchange:
    """The way back to the client: adds the headers that every answer has."""

    def __init__(self, send: Send, request_id: str, cors: dict[str, str], is_head: bool) -> None:
        self._send = send
        self._headers = {
            "X-Request-Id": request_id,
            "X-Content-Type-Options": "nosniff",
            **cors,
        }
        self._is_head = is_head
        self.status = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers.setdefault("Cache-Control", "no-store")
            headers.update(self._headers)
        elif message["type"] == "http.response.body" and self._is_head:
            message = {**message, "body": b""}
        await self._send(message)


def _unaliased(path: str) -> str:
    old, new = ALIAS
    if path == old or path.startswith(old + "/"):
        return new + path[len(old) :]
    return path


def _ends_in_slash(scope: Scope) -> bool:
    """Whether the slash stands there as one; `%2F` would be redirected to itself."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    return raw.partition(b"?")[0].endswith(b"/")


def _without_slash(scope: Scope) -> str:
    """Path and query only, so that no inner host name leaks."""
    raw = scope.get("raw_path") or scope["path"].encode()
    path = quote(raw.partition(b"?")[0].rstrip(b"/"), safe="/%:@!$&'()*+,;=-._~")
    query = scope["query_string"].decode("latin-1")
    return f"{path}?{query}" if query else path
