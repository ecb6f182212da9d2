"""Decides each request: route, mode, body bound, side, app; hears of failures and of the end.

The one place where the data plane meets the control state; it does no I/O of its own.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from router.client_connection import ClientConnection, ClientLimits, too_large_body
from router.exchange import Exchange
from router.failure import Cause, Refusal, unavailable
from router.forwarding import forwarded_head
from router.metrics import Metrics
from router.replies import Replies
from router.request_head import RequestHead
from router.request_ids import RequestIds, is_request_id
from router.response_head import ResponseHead
from router.routing import RouteRuntime, Routing
from router.trust import Forwarded, TrustedProxies
from router.upstreams import Upstream
from shared.errors import Code
from shared.routing.decision import Decision, decide
from shared.routing.override import COOKIE, OverrideError, override_side, read_override
from shared.routing.sticky import cookie_value, sticky_key

MONOLITH = "monolith"
_OVERRIDE_HEADER = b"x-strangler-override"
_OVERRIDE_COOKIE = COOKIE.encode()
_READING = frozenset({"read"})


class Dispatcher:
    """Owner of every exchange of one worker."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        routing: Routing,
        upstreams: Mapping[str, Upstream],
        *,
        metrics: Metrics,
        replies: Replies,
        trusted: TrustedProxies,
        limits: ClientLimits,
        secrets: tuple[str, ...],
        version: str,
        is_connected: Callable[[], bool],
    ) -> None:
        self.limits = limits
        self.is_draining = False
        self.clients: set[ClientConnection] = set()
        self.active: set[Exchange] = set()
        self._loop = loop
        self._routing = routing
        self._upstreams = upstreams
        self._metrics = metrics
        self._replies = replies
        self._trusted = trusted
        self._secrets = secrets
        self._version = version
        self._is_connected = is_connected
        self._ids = RequestIds()

    # ---- connections ------------------------------------------------------------------------------

    def trusts(self, address: str) -> bool:
        return self._trusted.trusts(address)

    def client_opened(self, client: ClientConnection) -> None:
        self.clients.add(client)

    def client_closed(self, client: ClientConnection) -> None:
        self.clients.discard(client)

    # ---- a new request ----------------------------------------------------------------------------

    def begin(self, client: ClientConnection, head: RequestHead) -> Exchange:
        given = head.fields.get(b"x-request-id")
        request_id = given if given is not None and is_request_id(given) else self._ids.next()
        exchange = Exchange(client, self, head, request_id, self._loop.time())
        self.active.add(exchange)
        exchange.forwarded = self._forwarded(head)
        head.address = exchange.forwarded.address
        try:
            self._route(exchange)
        except Refusal as refusal:
            exchange.refuse(refusal)
        return exchange

    def max_body_bytes(self, exchange: Exchange) -> int:
        route: RouteRuntime = exchange.route
        return route.max_body_bytes

    def _route(self, exchange: Exchange) -> None:
        head = exchange.head
        match = self._routing.table.match(head.method, head.path, head.host_name)
        exchange.match = match
        route = self._routing.of(match.route) if match is not None else self._routing.unmatched
        exchange.route = route
        if match is None and self._answers_itself(exchange):
            return
        if self._routing.state is None:
            raise unavailable(
                "The router has no control state yet; try again soon", Cause.NO_CONTROL_STATE
            )
        if route.has_mode:
            self._check_mode(route, head)
        if head.content_length > route.max_body_bytes:
            raise too_large_body(route.max_body_bytes)
        decision = route.fixed
        if decision is None and route.rule.kind == "body" and head.has_body:
            exchange.collects_body = True
            return
        self._send(exchange, route, decision, None)

    def _check_mode(self, route: RouteRuntime, head: RequestHead) -> None:
        """Maintenance and read-only modes; preflights and webhooks are exempt (api.md 1.15)."""
        flag = route.flag
        if flag is None or route.spec.kind == "webhook" or head.method == "OPTIONS":
            return
        if flag.mode == "maintenance":
            code, cause, text = Code.MAINTENANCE, Cause.MAINTENANCE, "Under maintenance"
        elif route.spec.kind not in _READING:
            code, cause, text = Code.READ_ONLY, Cause.READ_ONLY, "Only reading is possible now"
        else:
            return
        details: dict[str, object] = {
            "scope": route.spec.service, "until": None, "retry_after": 30,
        }  # fmt: skip
        raise Refusal(code, text, cause, details=details, headers=(("Retry-After", "30"),))

    def body_complete(self, exchange: Exchange) -> None:
        """The body that the sticky key is in has arrived."""
        self._send(exchange, exchange.route, None, exchange.collected_body())

    def _send(
        self,
        exchange: Exchange,
        route: RouteRuntime,
        decision: Decision | None,
        body: bytes | None,
    ) -> None:
        override = self._override(exchange.head, route)
        if decision is None or override is not None:
            key = sticky_key(route.rule, exchange.head, body) if decision is None else None
            decision = decide(
                route.flag,
                key,
                override=override,
                is_pinned=route.is_pinned,
                is_configured=route.is_configured,
            )
        exchange.decision = decision
        name = MONOLITH if decision.side == MONOLITH else route.spec.service
        upstream = self._upstreams.get(name)
        if upstream is None:
            exchange.refuse(
                Refusal(Code.NOT_FOUND, "No such path", Cause.NO_ROUTE)
                if route is self._routing.unmatched
                else unavailable("No app answers this route", Cause.NO_ROUTE)
            )
            return
        route.counts(decision.side).in_flight += 1
        exchange.upstream = upstream
        exchange.first_byte_seconds = (
            route.spec.first_byte_seconds or upstream.settings.first_byte_seconds
        )
        if self._may_repeat(exchange):
            exchange.keep_for_replay()
        upstream.acquire(exchange)

    def _override(self, head: RequestHead, route: RouteRuntime) -> str | None:
        token = head.fields.get(_OVERRIDE_HEADER)
        if token is None:
            cookie = head.fields.get(b"cookie")
            if cookie is None or _OVERRIDE_COOKIE not in cookie:
                return None
            token = cookie_value(cookie, _OVERRIDE_COOKIE)
            if token is None:
                return None
        try:
            sides = read_override(token.decode("latin-1"), self._secrets, now=time.time())
        except OverrideError:
            self._metrics.add("router_overrides_refused_total")
            return None
        return override_side(sides, route.spec.name, route.spec.service)

    # ---- what an exchange asks for ------------------------------------------------------------------

    def _forwarded(self, head: RequestHead) -> Forwarded:
        return self._trusted.resolve(
            head.address,
            head.fields.get(b"x-forwarded-for"),
            head.fields.get(b"x-forwarded-proto"),
        )

    def request_head_bytes(self, exchange: Exchange) -> bytes:
        head = exchange.head
        path = head.path
        if exchange.match is not None:
            path = exchange.match.path_at(exchange.decision.side, path)
        return forwarded_head(
            head,
            path,
            exchange.forwarded,
            exchange.request_id,
            host=exchange.upstream.host.encode("ascii"),
        )

    def response_lines(self, exchange: Exchange, head: ResponseHead) -> bytes:
        if b"x-request-id" in head.fields:
            return b""
        return b"\r\nX-Request-Id: " + exchange.request_id

    def attempt_failed(self, exchange: Exchange, cause: Cause) -> None:
        exchange.attempt += 1
        upstream: Upstream = exchange.upstream
        was_stale = cause is Cause.UPSTREAM_RESET and exchange.used_kept_connection
        if (
            was_stale
            and exchange.attempt == 1
            and exchange.can_replay
            and self._may_repeat(exchange)
        ):
            self._metrics.add("router_retries_total", 'kind="stale_connection"')
            exchange.prepare_retry()
            upstream.acquire(exchange, fresh=True)
            return
        scope = exchange.route.spec.service or "all"
        if cause is Cause.FIRST_BYTE_TIMEOUT:
            exchange.refuse(
                Refusal(Code.UPSTREAM_TIMEOUT, "The app took too long to answer", cause)
            )
        else:
            exchange.refuse(unavailable("No app answers at the moment", cause, scope=scope))

    @staticmethod
    def _may_repeat(exchange: Exchange) -> bool:
        """Whether sending the request twice has the effect of sending it once (RFC 9110 section 9.2.2)."""
        if exchange.method in {"GET", "HEAD", "OPTIONS"}:
            return not exchange.head.upgrade
        return exchange.route.spec.idempotency in {"natural", "event_id"} or (
            exchange.route.spec.idempotency == "key" and b"idempotency-key" in exchange.head.fields
        )

    def reply(self, exchange: Exchange, refusal: Refusal, *, close: bool) -> tuple[int, bytes]:
        return self._replies.refusal(
            refusal,
            exchange.request_id,
            origin=exchange.head.fields.get(b"origin"),
            method=exchange.method,
            close=close,
        )

    def refused_head(self, client: ClientConnection, refusal: Refusal, method: str) -> bytes:
        status, data = self._replies.refusal(
            refusal, self._ids.next(), origin=None, method=method, close=True
        )
        self._routing.unmatched.router.count("-", status, 0.0)
        self._metrics.cause(refusal.cause)
        return data

    def finished(self, exchange: Exchange) -> None:
        self.active.discard(exchange)
        route: RouteRuntime = exchange.route
        decision: Decision | None = exchange.decision
        counts = route.counts(decision.side if decision is not None else "router")
        if exchange.upstream is not None:
            counts.in_flight -= 1
        counts.count(exchange.method, exchange.status, self._loop.time() - exchange.started)
        if exchange.cause is not Cause.NONE:
            self._metrics.cause(exchange.cause)

    # ---- the router's own answers -------------------------------------------------------------------

    def _answers_itself(self, exchange: Exchange) -> bool:
        """`GET /health` for the router itself (api.md 2.8) and `OPTIONS *`."""
        head = exchange.head
        if head.path == "*":
            status, body = 204, b""
        elif head.path != "/health":
            return False
        elif head.method == "OPTIONS":
            status, body = 204, b""
        elif head.method not in {"GET", "HEAD"}:
            raise Refusal(
                Code.METHOD_NOT_ALLOWED,
                "This method is not served",
                Cause.BAD_METHOD,
                headers=(("Allow", "GET, HEAD, OPTIONS"),),
            )
        else:
            status, body = self._health()
        headers = (("Allow", "GET, HEAD, OPTIONS"),) if status == 204 else ()
        data = self._replies.answer(
            status,
            body,
            exchange.request_id,
            headers=headers,
            origin=head.fields.get(b"origin"),
            method=head.method,
            close=not exchange.may_stay,
        )
        exchange.answer(status, data)
        return True

    def _health(self) -> tuple[int, bytes]:
        has_state = self._routing.state is not None
        connected = self._is_connected()
        status = "unhealthy" if not has_state else "healthy" if connected else "degraded"
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
        body = {
            "status": status,
            "service": "router",
            "version": self._version,
            "checks": {"database": connected, "redis": True, "broker": True},
            "timestamp": now,
        }
        return (200 if has_state else 503), json.dumps(body, separators=(",", ":")).encode()
