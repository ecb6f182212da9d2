"""Remembers which tokens were verified, for a minute at most; knows no algorithm."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from hashlib import sha256

from shared.auth.principal import Principal

MAX_TOKENS = 10_000
KEEP_SECONDS = 60.0  # also the longest delay of a revocation that nothing else notices


class TokenCache:
    """Least recently used tokens by SHA-256; the tokens themselves are not kept."""

    __slots__ = ("_clock", "_entries", "_max_tokens")

    def __init__(
        self, max_tokens: int = MAX_TOKENS, clock: Callable[[], float] = time.time
    ) -> None:
        self._entries: OrderedDict[bytes, tuple[float, Principal]] = OrderedDict()
        self._max_tokens = max_tokens
        self._clock = clock

    def get(self, token: str) -> Principal | None:
        """The principal of a token that was verified before and has not expired."""
        key = sha256(token.encode()).digest()
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry[0] <= self._clock():
            del self._entries[key]
            return None
        self._entries.move_to_end(key)
        return entry[1]

    def put(self, token: str, principal: Principal) -> None:
        """Keep a verified token until it expires, for KEEP_SECONDS at most."""
        until = min(float(principal.expires_at), self._clock() + KEEP_SECONDS)
        self._entries[sha256(token.encode()).digest()] = (until, principal)
        if len(self._entries) > self._max_tokens:
            self._entries.popitem(last=False)

    def clear(self) -> None:
        self._entries.clear()

    def __len__(self) -> int:
        return len(self._entries)
