"""Lists of ranks by key, as flat integer arrays; knows nothing of names and queries.

A rank is the place of an entry in result order, so ascending ranks are results in order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

Ranks = NDArray[np.int32]

NO_RANKS: Ranks = np.empty(0, dtype=np.int32)


class Postings:
    """Ranks of key number i, for i from 0, one after the other in one array."""

    __slots__ = ("_ranks", "_starts")

    def __init__(self, starts: NDArray[np.int64], ranks: Ranks) -> None:
        """`starts` has one element more than there are keys."""
        self._starts = starts
        self._ranks = ranks

    @classmethod
    def of(cls, lists: Sequence[Sequence[int]]) -> Postings:
        starts = np.zeros(len(lists) + 1, dtype=np.int64)
        np.cumsum([len(ranks) for ranks in lists], out=starts[1:])
        flat = np.fromiter(chain.from_iterable(lists), dtype=np.int32, count=int(starts[-1]))
        return cls(starts, flat)

    def count(self, key: int) -> int:
        return int(self._starts[key + 1] - self._starts[key])

    def one(self, key: int) -> Ranks:
        """Ranks of one key, in the order they were given."""
        return self._ranks[self._starts[key] : self._starts[key + 1]]

    def span(self, first: int, last: int) -> Ranks:
        """Ranks of the keys first … last - 1 together, unordered, with repetitions."""
        return self._ranks[self._starts[first] : self._starts[last]]

    def several(self, keys: Iterable[int]) -> Ranks:
        """Ranks of some keys together, unordered, with repetitions."""
        parts = [self.one(key) for key in keys]
        return np.concatenate(parts) if parts else NO_RANKS


def ascending(ranks: Ranks) -> Ranks:
    """The distinct ranks in order."""
    return np.unique(ranks) if len(ranks) > 1 else ranks
