"""Takes each request through its stations: route, mode, policy, hold, side, app; hears of the end.

The one place where the data plane meets the control state; it does no I/O of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from router.access_log import AccessLog
from router.attempts import Attempts
from router.client_connection import ClientConnection, RequestHandler
from router.client_limits import ClientLimits, too_large_body
from router.decider import Decider
from router.edge.gate import EdgeGate
from router.exchange import Exchange
from router.failure import Cause, Refusal, unavailable
from router.forwarding import forwarded_head
from router.header_block import HeaderBlocks
from router.held_stream import HeldStream
from router.hold import HoldRoom
from router.metrics import Metrics
from router.modes import check_mode
from router.own_answers import own_answer
from router.replies import Replies, error_body
from router.request_head import RequestHead
from router.request_ids import RequestIds
from router.response_head import ResponseHead
from router.routing import RouteRuntime, Routing
from router.seams import Tap
from router.socket_moves import SocketMoves
from router.trust import TrustedProxies
from shared.control.model import ControlState
from shared.errors import Code

log = structlog.get_logger("router.dispatch")


@dataclass(slots=True)
class DispatchParts:
    """What a dispatcher is built from."""

    routing: Routing
    attempts: Attempts
    metrics: Metrics
    replies: Replies
    trusted: TrustedProxies
    limits: ClientLimits
    edge: EdgeGate
    active: set[Exchange]
    override_secrets: tuple[str, ...] = ()
    version: str = "dev"
    checks: Callable[[], dict[str, bool]] = dict
    access_log: AccessLog | None = None
    tap_for: Callable[[Exchange], Tap | None] | None = None


class Dispatcher(RequestHandler):
    """Owner of every exchange of one worker."""

    def __init__(self, loop: asyncio.AbstractEventLoop, parts: DispatchParts) -> None:
        self.limits = parts.limits
        self.is_draining = False
        self.clients: set[ClientConnection] = set()
        self.active = parts.active
        self.hold_room: HoldRoom | None = None
        self._loop = loop
        self._parts = parts
        self._routing = parts.routing
        self._attempts = parts.attempts
        self._metrics = parts.metrics
        self._decider = Decider(parts.override_secrets, parts.metrics)
        self._moves = SocketMoves(loop, self._decider, parts.metrics)
        self._ids = RequestIds()
        self._blocks = HeaderBlocks(is_trusted=False)
        self._trusted_blocks = HeaderBlocks(is_trusted=True)
        self._log = parts.access_log
        self._tap_for = parts.tap_for

    # ---- connections ------------------------------------------------------------------------------

    def blocks_for(self, address: str) -> HeaderBlocks:
        is_trusted = bool(address) and self._parts.trusted.trusts(address)
        return self._trusted_blocks if is_trusted else self._blocks

    def client_opened(self, client: ClientConnection) -> bool:
        self.clients.add(client)
        return len(self.clients) <= self.limits.max_clients

    def client_closed(self, client: ClientConnection) -> None:
        self.clients.discard(client)

    # ---- the stations of a request ------------------------------------------------------------------

    def begin(self, client: ClientConnection, head: RequestHead) -> Exchange:
        forwarded = self._parts.trusted.resolve(
            head.address,
            head.fields.get(b"x-forwarded-for"),
            head.fields.get(b"x-forwarded-proto"),
        )
        head.address = forwarded.address
        match = self._routing.table.match(head.method, head.path, head.host_name)
        exchange = Exchange(
            client,
            self,
            head,
            head.block.request_id or self._ids.next(),
            self._loop.time(),
            self._routing.of(match.route) if match is not None else self._routing.unmatched,
            match,
            forwarded,
        )
        self.active.add(exchange)
        try:
            self._admit(exchange, exchange.route)
        except Exception as error:
            self._answer_error(exchange, error)
        return exchange

    def _answer_error(self, exchange: Exchange, error: Exception) -> None:
        """Turn what a station raised into an answer; a defect of ours is a 500 and a line in the log."""
        if isinstance(error, Refusal):
            exchange.refuse(error)
            return
        log.error(
            "request_failed", request_id=exchange.request_id.decode("latin-1"), exc_info=error
        )
        exchange.refuse(
            Refusal(Code.INTERNAL_ERROR, "Something went wrong", Cause.INTERNAL, close=True)
        )

    def _admit(self, exchange: Exchange, route: RouteRuntime) -> None:
        head = exchange.head
        if head.refusal is not None:
            raise head.refusal
        if exchange.match is None and self._answers_itself(exchange):
            return
        if self._routing.state is None:
            raise unavailable(
                "The router has no control state yet; try again soon", Cause.NO_CONTROL_STATE
            )
        if head.upgrade and self.is_draining:
            raise unavailable("The router restarts; connect again", Cause.DRAINING)
        if route.has_mode and route.flag is not None:
            check_mode(route.flag, route.spec, head.method)
        if head.content_length > route.max_body_bytes:
            raise too_large_body(route.max_body_bytes)
        if route.has_policy and self._parts.edge.check(exchange, route.spec):
            exchange.task = self._loop.create_task(self._pass_edge(exchange, route))
            return
        self._collect(exchange, route)

    async def _pass_edge(self, exchange: Exchange, route: RouteRuntime) -> None:
        try:
            await self._parts.edge.wait_for(exchange, route.spec)
        except Exception as error:
            exchange.task = None
            self._answer_error(exchange, error)
            return
        exchange.task = None
        self.go_on(exchange)

    def go_on(self, exchange: Exchange) -> None:
        """Take up a request that had to wait; the world may have changed meanwhile."""
        route = exchange.route
        try:
            if route.has_mode and route.flag is not None:
                check_mode(route.flag, route.spec, exchange.method)
            self._collect(exchange, route)
        except Exception as error:
            self._answer_error(exchange, error)

    def _collect(self, exchange: Exchange, route: RouteRuntime) -> None:
        """Wait for the body first where the sticky key is in it."""
        decision = route.fixed
        if decision is None and route.rule.kind == "body" and not exchange.body_is_complete:
            exchange.collects_body = True
            exchange.client.resume_body()
            return
        self._pass_hold(exchange, route)

    def body_complete(self, exchange: Exchange) -> None:
        try:
            self._pass_hold(exchange, exchange.route)
        except Exception as error:
            self._answer_error(exchange, error)

    def _pass_hold(self, exchange: Exchange, route: RouteRuntime) -> None:
        hold = route.hold
        if (
            hold is not None
            and self.hold_room is not None
            and exchange.method != "OPTIONS"
            and hold.is_on(self._loop.time())
        ):
            self.hold_room.admit(exchange, route.spec.name, hold)
            return
        self._send(exchange, route)

    def _send(self, exchange: Exchange, route: RouteRuntime) -> None:
        if self._tap_for is not None:
            exchange.tap = self._tap_for(exchange)
        self._attempts.first(exchange, self._decider.decide(exchange, route))

    # ---- new control states -------------------------------------------------------------------------

    def apply(self, state: ControlState) -> None:
        """Obey a control state: from the next request on, and for what waits or stays open."""
        now = self._loop.time()
        self._routing.apply(state, now)
        if self.hold_room is not None:
            self.hold_room.release(self._is_held)
        self._moves.after_change(self.active, now)

    def _is_held(self, exchange: Exchange) -> bool:
        hold = exchange.route.hold
        return hold is not None and hold.is_on(self._loop.time())

    def part_from_sockets(self, spread_seconds: float) -> None:
        """Ask every open socket to come again, within the given time."""
        for exchange in tuple(self.active):
            self._moves.ask(exchange, spread_seconds)

    # ---- what an exchange asks for ------------------------------------------------------------------

    def request_head_bytes(self, exchange: Exchange) -> bytes:
        head = exchange.head
        path = head.path
        match, decision, upstream = exchange.match, exchange.decision, exchange.upstream
        if match is not None and match.route.rewrite is not None and decision is not None:
            path = match.path_at(decision.side, path)
        return forwarded_head(
            head,
            path,
            exchange.forwarded,
            exchange.request_id,
            host=upstream.host.encode("ascii") if upstream is not None else b"",
            extra=exchange.extra_request_lines,
        )

    def response_lines(self, exchange: Exchange, head: ResponseHead) -> bytes:
        route = exchange.route
        lines = b""
        if route.has_policy:
            lines = self._parts.edge.response_lines(exchange, route.spec.policy, head.fields)
        if b"x-request-id" not in head.fields:
            lines += b"\r\nX-Request-Id: " + exchange.request_id
        return lines

    def attempt_failed(self, exchange: Exchange, cause: Cause) -> None:
        self._attempts.failed(exchange, cause)

    def begin_stream(self, exchange: Exchange) -> HeldStream:
        """A held client hears that it is not forgotten."""
        return HeldStream(exchange.client, self._parts.replies, exchange.request_id)

    def reply(self, exchange: Exchange, refusal: Refusal, *, close: bool) -> tuple[int, bytes]:
        return self._parts.replies.refusal(
            refusal,
            exchange.request_id,
            origin=exchange.head.fields.get(b"origin"),
            method=exchange.method,
            close=close,
        )

    def error_body(self, exchange: Exchange, refusal: Refusal) -> bytes:
        return error_body(refusal.code, refusal.message, refusal.details, exchange.request_id)

    def refused_head(self, client: ClientConnection, refusal: Refusal, method: str) -> bytes:
        status, data = self._parts.replies.refusal(
            refusal, self._ids.next(), origin=None, method=method, close=True
        )
        self._routing.unmatched.router.count("-", status, 0.0)
        self._metrics.cause(refusal.cause)
        if self._log is not None:
            self._log.refused_head(refusal, status, client.address)
        return data

    def finished(self, exchange: Exchange) -> None:
        now = self._loop.time()
        self.active.discard(exchange)
        route = exchange.route
        decision = exchange.decision
        if exchange.upstream is not None and decision is not None:
            self._attempts.finished(exchange, now)
            counts = route.counts(decision.side)
        else:
            counts = route.router
            if self.hold_room is not None:
                self.hold_room.forget(exchange, route.spec.name)
        counts.count(exchange.method, exchange.status, now - exchange.started)
        if exchange.cause is not Cause.NONE:
            self._metrics.cause(exchange.cause)
        if self._log is not None:
            self._log.finished(exchange, now)

    def _answers_itself(self, exchange: Exchange) -> bool:
        head = exchange.head
        answer = own_answer(
            head.method,
            head.path,
            has_state=self._routing.state is not None,
            checks=self._parts.checks(),
            version=self._parts.version,
        )
        if answer is None:
            return False
        status, body, headers = answer
        data = self._parts.replies.answer(
            status,
            body,
            exchange.request_id,
            headers=headers,
            origin=head.fields.get(b"origin"),
            method=head.method,
            close=not (exchange.body_is_complete and exchange.may_stay),
        )
        exchange.answer(status, data)
        return True
