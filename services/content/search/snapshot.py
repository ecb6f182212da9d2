"""One state of the index: a large sealed segment, a small one of newer entries over it; immutable."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from services.content.search.arrays import Ranks
from services.content.search.entries import Entry, Found, Kind, Match, Type
from services.content.search.segment import Segment

Key = tuple[Kind, str]
#: Places of hits of both segments in one order: a base rank in the upper half, and in the lower
#: half the rank of a newer entry that comes right before it, or _BASE for the base entry itself.
Places = NDArray[np.int64]
_HALF_BITS = 32
_BASE = (1 << _HALF_BITS) - 1


class Snapshot:
    """Answers queries over base and newer entries; `dropped` base entries are not seen."""

    def __init__(
        self, base: Segment, newer: Mapping[Key, Entry], dropped_ranks: Collection[int]
    ) -> None:
        self.base = base
        self.newer = Segment(newer.values())
        self._is_dropped = np.zeros(len(base.entries), dtype=np.bool_)
        self._is_dropped[list(dropped_ranks)] = True
        self._newer_places: Places = np.array(
            [
                (_place(base, entry) << _HALF_BITS) | rank
                for rank, entry in enumerate(self.newer.entries)
            ],
            dtype=np.int64,
        )

    def find(self, query: str, kind: Type | None, offset: int, count: int) -> list[Found]:
        """Hits offset … offset + count of a norm, in the contract's order; none for an empty norm."""
        found: list[Found] = []
        for match, places in self._classes(query, kind):
            if offset < len(places):
                wanted = places[offset : offset + count - len(found)].tolist()
                found.extend(Found(self._entry(place), match) for place in wanted)
            offset = max(offset - len(places), 0)
            if len(found) == count:
                break
        return found

    def matching(self, query: str, kind: Type) -> list[Entry]:
        """Every entry that fits a norm in any way, in no particular order."""
        return [
            self._entry(place)
            for _, places in self._classes(query, kind)
            for place in places.tolist()
        ]

    def entries(self) -> Iterator[Entry]:
        """Every entry that can be found."""
        for rank, entry in enumerate(self.base.entries):
            if not self._is_dropped[rank]:
                yield entry
        yield from self.newer.entries

    def _classes(self, query: str, kind: Type | None) -> Iterator[tuple[Match, Places]]:
        """The places of the hits of every class that were in no class before, in order."""
        if not query:
            return
        base_seen = self._is_dropped.copy()
        newer_seen = np.zeros(len(self.newer.entries), dtype=np.bool_)
        for match in Match:
            ranks = _new(self.base, query, match, kind, base_seen)
            places = (ranks.astype(np.int64) << _HALF_BITS) | _BASE
            if len(newer_seen):
                newer = _new(self.newer, query, match, kind, newer_seen)
                if len(newer):
                    places = np.sort(np.concatenate((places, self._newer_places[newer])))
            yield match, places

    def _entry(self, place: int) -> Entry:
        rank = place & _BASE
        return self.base.entries[place >> _HALF_BITS] if rank == _BASE else self.newer.entries[rank]


def _new(
    segment: Segment, query: str, match: Match, kind: Type | None, seen: NDArray[np.bool_]
) -> Ranks:
    """Ranks that match in this way and were not seen before; marks them as seen."""
    ranks = segment.matching(query, match)
    if not len(ranks):
        return ranks
    ranks = ranks[~seen[ranks]]
    seen[ranks] = True
    return ranks if kind is None else ranks[(segment.types[ranks] & int(kind)) != 0]


def _place(base: Segment, entry: Entry) -> int:
    """How many base entries come before this one."""
    return bisect_left(base.entries, entry.sort_key, key=lambda other: other.sort_key)
