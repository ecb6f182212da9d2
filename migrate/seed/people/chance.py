"""Repeatable randomness: one independent stream per subject, so that no part disturbs another; pure."""

from __future__ import annotations

import base64
import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import UUID

T = TypeVar("T")


class Chance(random.Random):
    """A stream of its own for the words it is made from."""

    def __init__(self, *words: object) -> None:
        super().__init__("/".join(str(word) for word in words))

    def uuid(self) -> UUID:
        """A version 4 id."""
        return UUID(int=self.getrandbits(128), version=4)

    def code(self) -> str:
        """Eight characters of A-Z and 2-7: referral and join codes."""
        return base64.b32encode(self.randbytes(5)).decode()

    def happens(self, share: float) -> bool:
        return self.random() < share

    def moment(self, first: datetime, last: datetime) -> datetime:
        """Some moment in between, to the microsecond; `first` when there is no time."""
        seconds = max((last - first).total_seconds(), 0.0)
        return first + timedelta(seconds=self.random() * seconds)

    def about(self, mean: float) -> int:
        """A count that is mostly small and sometimes large, with that mean."""
        return int(self.expovariate(1 / mean)) if mean > 0 else 0

    def some(self, things: Sequence[T], count: int) -> list[T]:
        """That many different things, or all of them."""
        return self.sample(things, min(count, len(things)))
