"""Sends a decided request to an app, and again or elsewhere when that is safe; decides no side itself."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from router.exchange import Exchange
from router.failure import Cause, Refusal, unavailable
from router.metrics import Metrics
from router.retry import FailedAttempt, RetryBudget, Step, next_step
from router.routing import RouteRuntime, Routing
from router.upstreams import Upstream
from shared.errors import Code
from shared.routing.decision import BUCKETS, MONOLITH, SERVICE, Decision, bucket_of

#: Causes that say something about the app, not about the client or the router.
_APP_FAULTS: Final = frozenset(
    {
        Cause.CONNECT_FAILED, Cause.CONNECT_TIMEOUT, Cause.FIRST_BYTE_TIMEOUT, Cause.UPSTREAM_RESET,
        Cause.UPSTREAM_GARBAGE, Cause.UPSTREAM_TRUNCATED, Cause.UPSTREAM_STALLED,
    }
)  # fmt: skip
_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class Attempts:
    """Upstreams of one worker with their ejection, and the budget of retries."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        upstreams: Mapping[str, Upstream],
        routing: Routing,
        metrics: Metrics,
        active: set[Exchange],
    ) -> None:
        self._loop = loop
        self._upstreams = upstreams
        self._routing = routing
        self._metrics = metrics
        self._active = active
        self._budget = RetryBudget()

    def first(self, exchange: Exchange, decision: Decision) -> None:
        """Begin the first attempt at the decided side, or at the other one while that is ejected."""
        route = exchange.route
        exchange.may_repeat = _may_repeat(exchange)
        exchange.has_other_side = route.may_leave(decision.side)
        exchange.decision = decision
        if exchange.has_other_side:
            decision = exchange.decision = self._without_ejected(exchange, route, decision)
        upstream = self._upstream(route, decision.side)
        if upstream is None:
            exchange.refuse(
                Refusal(Code.NOT_FOUND, "No such path", Cause.NO_ROUTE)
                if route is self._routing.unmatched
                else unavailable("No app answers this route", Cause.NO_ROUTE)
            )
            return
        exchange.upstream = upstream
        exchange.first_byte_seconds = (
            route.spec.first_byte_seconds or upstream.settings.first_byte_seconds
        )
        route.counts(decision.side).in_flight += 1
        if exchange.may_repeat and exchange.outgoing is not None:
            exchange.outgoing.keep_for_replay()
        upstream.acquire(exchange)

    def failed(self, exchange: Exchange, cause: Cause) -> None:
        """An attempt ended without a byte of an answer."""
        upstream = exchange.upstream
        if upstream is None:
            exchange.refuse(_refusal(exchange, cause))
            return
        was_stale = cause is Cause.UPSTREAM_RESET and exchange.used_kept_connection
        if cause in _APP_FAULTS and not was_stale:
            self._blame(upstream)
        exchange.attempt += 1
        step = next_step(
            FailedAttempt(
                cause=cause,
                attempts=exchange.attempt,
                used_kept_connection=exchange.used_kept_connection,
                can_replay=exchange.can_replay,
                is_idempotent=exchange.may_repeat,
                has_other_side=self._other_side(exchange) is not None,
                within_budget=exchange.is_retry or self._budget.has_room(len(self._active)),
            )
        )
        if step is Step.REFUSE:
            exchange.refuse(_refusal(exchange, cause))
            return
        if not exchange.is_retry:
            exchange.is_retry = True
            self._budget.active += 1
        exchange.prepare_retry()
        if step is Step.SAME_APP:
            self._metrics.add("router_retries_total", 'kind="stale_connection"')
            upstream.acquire(exchange, fresh=True)
        else:
            self._fall_back(exchange)

    def finished(self, exchange: Exchange, now: float) -> None:
        """Count the end of an exchange that had an app."""
        if exchange.is_retry:
            self._budget.active -= 1
        upstream, decision = exchange.upstream, exchange.decision
        if upstream is None or decision is None:
            return
        exchange.route.counts(decision.side).in_flight -= 1
        if exchange.cause is Cause.NONE:
            if exchange.status < 500 or exchange.is_deliberate:
                upstream.outlier.success(now)
            else:
                self._blame(upstream)
        elif exchange.has_answer and exchange.cause in _APP_FAULTS:
            self._blame(upstream)

    def _fall_back(self, exchange: Exchange) -> None:
        other = self._other_side(exchange)
        decision = exchange.decision
        if other is None or decision is None:
            exchange.refuse(_refusal(exchange, Cause.CONNECT_FAILED))
            return
        route = exchange.route
        route.counts(decision.side).in_flight -= 1
        side = SERVICE if decision.side == MONOLITH else MONOLITH
        self._metrics.add("router_fallbacks_total", f'to="{side}"')
        route.counts(side).in_flight += 1
        exchange.decision = Decision(side, "fallback")
        exchange.has_other_side = False
        exchange.upstream = other
        other.acquire(exchange)

    def _other_side(self, exchange: Exchange) -> Upstream | None:
        """Where the request may go instead: only a side that is well."""
        route = exchange.route
        if not exchange.has_other_side or exchange.decision is None:
            return None
        side = SERVICE if exchange.decision.side == MONOLITH else MONOLITH
        other = self._upstream(route, side)
        if other is None or other.is_avoided(self._loop.time()):
            return None
        return other

    def _without_ejected(
        self, exchange: Exchange, route: RouteRuntime, decision: Decision
    ) -> Decision:
        """The decision, or the other side while the decided one is ejected or starts slowly again."""
        upstream = self._upstream(route, decision.side)
        if upstream is None:
            return decision
        now = self._loop.time()
        if not upstream.is_avoided(now):
            share = upstream.outlier.share(now)
            if share >= 1.0 or bucket_of("start", exchange.head.address) < share * BUCKETS:
                return decision
        if self._other_side(exchange) is None:
            return decision
        side = SERVICE if decision.side == MONOLITH else MONOLITH
        self._metrics.add("router_fallbacks_total", f'to="{side}"')
        exchange.has_other_side = False
        return Decision(side, "ejected")

    def _upstream(self, route: RouteRuntime, side: str) -> Upstream | None:
        return self._upstreams.get(MONOLITH if side == MONOLITH else route.spec.service)

    def _blame(self, upstream: Upstream) -> None:
        if upstream.outlier.failure(self._loop.time()):
            self._metrics.add("router_ejections_total", f'upstream="{upstream.name}"')


def _may_repeat(exchange: Exchange) -> bool:
    """Whether sending the request twice has the effect of sending it once (RFC 9110 section 9.2.2)."""
    if exchange.method in _SAFE_METHODS:
        return not exchange.head.upgrade
    idempotency = exchange.route.spec.idempotency
    if idempotency == "key":
        return b"idempotency-key" in exchange.head.fields
    return idempotency in {"natural", "event_id"}


def _refusal(exchange: Exchange, cause: Cause) -> Refusal:
    if cause is Cause.FIRST_BYTE_TIMEOUT:
        return Refusal(Code.UPSTREAM_TIMEOUT, "The app took too long to answer", cause)
    scope = exchange.route.spec.service or "all"
    return unavailable("No app answers at the moment", cause, scope=scope)
