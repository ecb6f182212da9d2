"""First checks of a request: preflight, maintenance, path, method (contract, 1.2, 1.3, 1.5, 1.15)."""

from __future__ import annotations

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.errors import CallerError, Code, not_found
from shared.web.context import RequestContext, context_of
from shared.web.cors import preflight_headers
from shared.web.maintenance import MaintenanceModes
from shared.web.path_index import PathEntry, PathIndex, relative_location

TRY_AGAIN_LATER = 1013  # WebSocket close code (RFC 6455 registry; contract, 1.14)


class FrontDoor:
    """ASGI middleware between the edge and the routes."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        index: PathIndex,
        maintenance: MaintenanceModes,
        allowed_origins: tuple[str, ...] = (),
    ) -> None:
        self._app = app
        self._index = index
        self._maintenance = maintenance
        self._origins = frozenset(origin.encode() for origin in allowed_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "OPTIONS" and _header(scope, b"access-control-request-method"):
            await self._preflight(scope, receive, send)
            return
        context = context_of(scope)
        path = self._index.canonical(scope["path"])
        entry = self._index.find(path)
        self._refuse_in_maintenance(scope, entry)
        if entry is None:
            await _unknown_path(scope)(scope, receive, send)
            return
        if scope["method"] == "OPTIONS":
            await Response(status_code=204, headers=_allow(entry))(scope, receive, send)
            return
        scope = _as_get(scope, path)
        _enter(context, entry, scope["method"])
        if context.route is None and _header(scope, b"x-forwarded-for"):
            raise not_found("path")  # internal probes are not for the public host
        await self._app(
            scope, receive, send if scope.get("method_sent") != "HEAD" else _headless(send)
        )

    async def _preflight(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = Response(status_code=204)
        response.raw_headers.extend(preflight_headers(_header(scope, b"origin"), self._origins))
        await response(scope, receive, send)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        entry = self._index.find(self._index.canonical(scope["path"]))
        route = entry.routes.get("GET") if entry else None
        if route is None or route.kind != "websocket":
            await send({"type": "websocket.close", "code": 1000})  # before accept: HTTP 403
            return
        context_of(scope).route = route
        if self._maintenance.mode_of(route.service).name != "off":
            await receive()
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.close", "code": TRY_AGAIN_LATER})
            return
        await self._app(scope, receive, send)

    def _refuse_in_maintenance(self, scope: Scope, entry: PathEntry | None) -> None:
        if entry is not None and entry.domain is None:
            return  # internal probes
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        route = entry.routes.get(method) if entry else None
        if route is not None and (route.service == "system" or route.kind == "webhook"):
            return
        self._maintenance.check(entry.domain if entry else None, route)


def _enter(context: RequestContext, entry: PathEntry, method: str) -> None:
    if method not in entry.routes:
        raise CallerError(
            Code.METHOD_NOT_ALLOWED, f"{method} is not allowed here", headers=_allow(entry)
        )
    route = context.route = entry.routes[method]
    if route is not None and route.kind == "websocket":
        raise CallerError(Code.MALFORMED_REQUEST, "This address is a WebSocket")


def _allow(entry: PathEntry) -> dict[str, str]:
    return {"Allow": ", ".join(entry.allowed)}


def _as_get(scope: Scope, path: str) -> Scope:
    """A scope for the routes: canonical path, HEAD as GET (`method_sent` keeps what was sent)."""
    if scope["method"] != "HEAD" and path == scope["path"]:
        return scope
    method = "GET" if scope["method"] == "HEAD" else scope["method"]
    return {**scope, "path": path, "method": method, "method_sent": scope["method"]}


def _unknown_path(scope: Scope) -> Response:
    """307 for a GET with a trailing slash, 404 for everything else (contract, 1.1)."""
    path: str = scope["path"]
    if scope["method"] in ("GET", "HEAD") and path.endswith("/") and "//" not in path:
        raw = scope.get("raw_path") or path.encode()
        location = relative_location(raw.partition(b"?")[0], scope["query_string"])
        if location:
            return Response(status_code=307, headers={"Location": location})
    raise not_found("path")


def _headless(send: Send) -> Send:
    """Passes the head of an answer on and drops its body."""

    async def send_head(message: Message) -> None:
        if message["type"] == "http.response.body":
            if message.get("more_body", False):
                return
            message = {"type": "http.response.body", "body": b""}
        await send(message)

    return send_head


def _header(scope: Scope, name: bytes) -> bytes | None:
    return next((value for key, value in scope["headers"] if key == name), None)
