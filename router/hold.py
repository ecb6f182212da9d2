"""Requests that wait while a route is held: bounded in count, bytes and time, released in a spread.

Knows no apps: it only keeps exchanges and calls back when one may go on or has waited long enough.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from router.exchange import Exchange
from router.failure import Cause, unavailable
from router.held_stream import HeldStream
from router.sweeper import NEVER, Sweeper
from shared.control.model import Hold

#: Request bytes that may wait in memory over all held requests; bodies are not read while held, so this
#: is only what came in one packet with the head.
MAX_HELD_BYTES: Final = 64 * 1024 * 1024
#: A held event stream hears a comment after this time, and then again after each pause, in seconds.
FIRST_COMMENT_SECONDS: Final = 3.0
COMMENT_PAUSE_SECONDS: Final = 5.0
#: Held requests are let go in batches: a pause in seconds, and the share of them per batch, so that the app
#: behind does not get a whole hold in one millisecond. A full hold of 1,000 takes half a second.
RELEASE_PAUSE_SECONDS: Final = 0.01
RELEASE_SHARE: Final = 0.02
RELEASE_LEAST: Final = 10


class RouteHold:
    """The hold of one route as this router sees it. Times on the loop's clock."""

    __slots__ = ("ends_at", "limits")

    def __init__(self, limits: Hold, now: float) -> None:
        self.limits = limits
        left = limits.until - time.time()
        # A clock that is wrong by more than the whole hold says nothing: then count from now.
        seconds = left if 0.0 < left <= limits.total_seconds else limits.total_seconds
        self.ends_at = now + seconds

    def is_on(self, now: float) -> bool:
        return now < self.ends_at


class HoldRoom:
    """All held requests of one worker, in the order in which they came."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sweeper: Sweeper,
        go_on: Callable[[Exchange], None],
        begin_stream: Callable[[Exchange], HeldStream],
    ) -> None:
        self.deadline = NEVER
        self.released = 0
        self.expired = 0
        self.first_comment_seconds = FIRST_COMMENT_SECONDS
        self.comment_pause_seconds = COMMENT_PAUSE_SECONDS
        self._loop = loop
        self._sweeper = sweeper
        self._go_on = go_on
        self._begin_stream = begin_stream
        self._held: dict[Exchange, float] = {}
        self._comments: dict[Exchange, float] = {}
        self._per_route: dict[str, int] = {}
        self._releasing: list[Exchange] = []
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._sweeper.add(self)

    def stop(self) -> None:
        self._sweeper.remove(self)
        if self._timer is not None:
            self._timer.cancel()

    def __len__(self) -> int:
        return len(self._held) + len(self._releasing)

    def per_route(self) -> dict[str, int]:
        """Held requests by route, routes without any left out."""
        return {route: count for route, count in self._per_route.items() if count}

    def admit(self, exchange: Exchange, route: str, hold: RouteHold) -> None:
        """Keep a request waiting. Raises Refusal when the hold is full."""
        waiting = self._per_route.get(route, 0)
        if waiting >= hold.limits.max_requests or self._bytes() > MAX_HELD_BYTES:
            raise unavailable(
                "Too many requests wait already; try again soon", Cause.HOLD_FULL, retry_after=2
            )
        deadline = min(self._loop.time() + hold.limits.request_seconds, hold.ends_at)
        self._held[exchange] = deadline
        self._per_route[route] = waiting + 1
        if exchange.route.spec.kind == "stream" and not exchange.head.is_http_1_0:
            self._comments[exchange] = self._loop.time() + self.first_comment_seconds
        self._set_deadline()

    def forget(self, exchange: Exchange, route: str) -> None:
        """The request has ended or goes on."""
        if self._held.pop(exchange, None) is not None:
            self._per_route[route] -= 1
            self._comments.pop(exchange, None)

    def release(self, is_held: Callable[[Exchange], bool]) -> None:
        """Let everything go that `is_held` no longer holds, spread over a moment, oldest first."""
        freed = [exchange for exchange in self._held if not is_held(exchange)]
        for exchange in freed:
            self.forget(exchange, exchange.route.spec.name)
        self._releasing += freed
        if self._releasing and self._timer is None:
            self._release_batch()

    def _release_batch(self) -> None:
        size = max(RELEASE_LEAST, int(len(self._releasing) * RELEASE_SHARE))
        batch, self._releasing = self._releasing[:size], self._releasing[size:]
        self._timer = (
            self._loop.call_later(RELEASE_PAUSE_SECONDS, self._release_batch)
            if self._releasing
            else None
        )
        for exchange in batch:
            if exchange.is_waiting():
                self.released += 1
                self._go_on(exchange)

    def deadline_passed(self, now: float) -> None:
        """Who has waited long enough is told so; streams hear a comment now and then."""
        for exchange in [held for held, at in self._comments.items() if at <= now]:
            self._comment(exchange, now)
        expired = [exchange for exchange, deadline in self._held.items() if deadline <= now]
        for exchange in expired:
            self.forget(exchange, exchange.route.spec.name)
            self.expired += 1
            exchange.refuse(
                unavailable(
                    "The operation that this request waited for takes longer; try again soon",
                    Cause.HOLD_EXPIRED,
                    scope=exchange.route.spec.service,
                    retry_after=2,
                )
            )
        self._set_deadline()

    def _comment(self, exchange: Exchange, now: float) -> None:
        if exchange.held_stream is None:
            exchange.held_stream = self._begin_stream(exchange)
        else:
            exchange.held_stream.comment()
        self._comments[exchange] = now + self.comment_pause_seconds

    def _set_deadline(self) -> None:
        self.deadline = min(
            min(self._held.values(), default=NEVER), min(self._comments.values(), default=NEVER)
        )

    def _bytes(self) -> int:
        return sum(exchange.request_bytes for exchange in self._held)
