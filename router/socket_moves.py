"""Open sockets whose route moves, falls silent or loses its router: they are asked to come again, spread.

A client reconnects by itself after a close with 1012 (contract, 1.14).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable

from router.decider import Decider
from router.exchange import Exchange
from router.metrics import Metrics
from router.routing import UNMATCHED

#: Sockets of a route that moves are asked within this time, in seconds.
SPREAD_SECONDS = 5.0


class SocketMoves:
    """Decides which open sockets have to move, and when each of them is asked."""

    def __init__(self, loop: asyncio.AbstractEventLoop, decider: Decider, metrics: Metrics) -> None:
        self._loop = loop
        self._decider = decider
        self._metrics = metrics

    def after_change(self, exchanges: Iterable[Exchange], now: float) -> None:
        """A new control state counts: ask the sockets that are on the wrong side or on a held route."""
        for exchange in tuple(exchanges):
            if exchange.tunnel is None or exchange.route.spec.name == UNMATCHED:
                continue
            hold = exchange.route.hold
            if hold is not None and hold.is_on(now):
                # A drain waits for the sockets too, so they go in the first part of the hold.
                self.ask(exchange, min(SPREAD_SECONDS, hold.limits.total_seconds / 4))
            elif self._is_on_wrong_side(exchange):
                self.ask(exchange, SPREAD_SECONDS)

    def ask(self, exchange: Exchange, spread_seconds: float) -> None:
        """Close an open socket with 1012 within the given time."""
        tunnel = exchange.tunnel
        if tunnel is not None:
            self._metrics.add("router_sockets_moved_total")
            wait = random.uniform(0.0, spread_seconds)  # noqa: S311 - jitter
            self._loop.call_later(wait, tunnel.ask_to_reconnect)

    def _is_on_wrong_side(self, exchange: Exchange) -> bool:
        current = exchange.decision
        if current is None:
            return False
        return self._decider.decide(exchange, exchange.route).side != current.side
