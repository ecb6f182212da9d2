"""The side of one request under the newest flag, remembered for the same header lines; no I/O."""

from __future__ import annotations

import time
from typing import Final

from router.exchange import Exchange
from router.metrics import Metrics
from router.routing import RouteRuntime
from shared.control.model import Flag
from shared.routing.decision import Decision, decide
from shared.routing.override import OverrideError, override_side, read_override
from shared.routing.sticky import sticky_key

#: Tokens whose decision is remembered by route, and the longest that is: a few MiB.
MAX_TOKENS: Final = 4096
MAX_TOKEN_BYTES: Final = 1024


class Decider:
    """Joins a request's key and override with its route's flag."""

    def __init__(self, override_secrets: tuple[str, ...], metrics: Metrics) -> None:
        self._secrets = override_secrets
        self._by_token: dict[tuple[str, bytes], tuple[Flag, Decision]] = {}
        self._metrics = metrics

    def decide(self, exchange: Exchange, route: RouteRuntime) -> Decision:
        """The side of a request, with its reason."""
        block = exchange.head.block
        if block.override is not None:
            side = self._override(block.override, route)
            if side is not None:
                return self._decide_anew(exchange, route, side)
        if route.fixed is not None:
            return route.fixed
        known = block.decisions.get(route.spec.name)
        if known is not None and known[0] is route.flag:
            return known[1]
        token = block.fields.get(b"authorization") if route.rule.kind == "user" else None
        if token is not None:
            known = self._by_token.get((route.spec.name, token))
            if known is not None and known[0] is route.flag:
                return known[1]
        return self._decide_anew(exchange, route, None)

    def _decide_anew(
        self, exchange: Exchange, route: RouteRuntime, override: str | None
    ) -> Decision:
        flag = route.flag
        key = None
        if route.fixed is None:
            body = exchange.collected_body() if route.rule.kind == "body" else None
            key = sticky_key(route.rule, exchange.head, body)
        decision = decide(
            flag,
            key,
            override=override,
            is_pinned=route.is_pinned,
            is_configured=route.is_configured,
        )
        if override is None and flag is not None and key is not None and key.is_in_head:
            block = exchange.head.block
            block.decisions[route.spec.name] = (flag, decision)
            token = block.fields.get(b"authorization")
            if token is not None and key.origin == "user" and len(token) <= MAX_TOKEN_BYTES:
                if len(self._by_token) >= MAX_TOKENS:
                    self._by_token.clear()
                self._by_token[route.spec.name, token] = (flag, decision)
        return decision

    def _override(self, token: bytes, route: RouteRuntime) -> str | None:
        """The side that a signed override names for a route."""
        try:
            sides = read_override(token.decode("latin-1"), self._secrets, now=time.time())
        except OverrideError:
            self._metrics.add("router_overrides_refused_total")
            return None
        return override_side(sides, route.spec.name, route.spec.service)
