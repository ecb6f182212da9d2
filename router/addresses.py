"""Addresses of an app: which are tried first, and the idle connections of each; knows no sockets."""

from __future__ import annotations

import random
from typing import Final

from router.upstream_connection import UpstreamConnection

#: An address gets its whole share this long after it appeared, in seconds.
SLOW_START_SECONDS: Final = 10.0
#: Failed checks in a row before an address counts as down, good ones before it counts as up.
UNHEALTHY_AFTER: Final = 3
HEALTHY_AFTER: Final = 2


class Address:
    """One resolved address with its idle connections, newest last."""

    __slots__ = ("_streak", "added_at", "host", "idle", "is_healthy", "open", "port")

    def __init__(self, host: str, port: int, added_at: float) -> None:
        self.host = host
        self.port = port
        self.added_at = added_at
        self.idle: list[UpstreamConnection] = []
        self.open = 0
        self.is_healthy = True
        self._streak = 0

    @property
    def key(self) -> tuple[str, int]:
        return (self.host, self.port)

    def checked(self, is_good: bool) -> bool:
        """Take the result of one health check; whether the verdict changed."""
        if is_good is self.is_healthy:
            self._streak = 0
            return False
        self._streak += 1
        if self._streak < (HEALTHY_AFTER if is_good else UNHEALTHY_AFTER):
            return False
        self.is_healthy = is_good
        self._streak = 0
        return True


class AddressList:
    """All addresses of one app."""

    __slots__ = ("_turn", "entries", "is_down")

    def __init__(self) -> None:
        self.entries: list[Address] = []
        self.is_down = False
        self._turn = 0

    def replace(self, keys: list[tuple[str, int]], now: float) -> list[Address]:
        """Take over what the name service says; the addresses that are gone.

        The very first addresses need no slow start: there is nobody else to take their share.
        """
        known = {address.key: address for address in self.entries}
        added_at = now if known else now - SLOW_START_SECONDS
        self.entries = [known.get(key) or Address(*key, added_at) for key in keys]
        self.judge()
        return [address for key, address in known.items() if key not in keys]

    def in_order(self, now: float) -> list[Address]:
        """Whom to ask, in turn: healthy before unhealthy, new ones first only by their growing share."""
        entries = self.entries
        if len(entries) < 2:
            return entries
        self._turn += 1
        turn = self._turn % len(entries)
        ordered = entries[turn:] + entries[:turn]
        return sorted(ordered, key=lambda address: self._rank(address, now))

    @staticmethod
    def _rank(address: Address, now: float) -> int:
        if not address.is_healthy:
            return 2
        age = now - address.added_at
        starts_slowly = age < SLOW_START_SECONDS and random.random() > age / SLOW_START_SECONDS  # noqa: S311
        return 1 if starts_slowly else 0

    def judge(self) -> None:
        """Take the newest verdicts of the health checks: down means that every address failed."""
        self.is_down = bool(self.entries) and not any(a.is_healthy for a in self.entries)

    @property
    def open(self) -> int:
        return sum(address.open for address in self.entries)
