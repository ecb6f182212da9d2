"""The index of one process: takes changes in small portions and answers queries at any time.

Changes go into a small segment over the large one; when that has grown, both become one new large
segment. Readers see the old state until the new one is complete. Not for two writers at once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from services.content.search.entries import Entry, Found, Type
from services.content.search.segment import Segment
from services.content.search.snapshot import Key, Snapshot
from shared.contract.norm import norm

#: The small segment is rebuilt on every change; up to this size that takes a few milliseconds.
MAX_NEWER_ENTRIES = 512
#: Entries of the large segment that may be dropped before it is made anew; they only cost memory.
MAX_DROPPED_ENTRIES = 5_000


class SearchIndex:
    """Search over titles, characters and actors as the contract defines it (2.4)."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self.seals = 0  # large segments made so far
        self._newer: dict[Key, Entry] = {}
        self._dropped: set[int] = set()
        self._seal(entries)

    def __len__(self) -> int:
        return len(self._ranks) - len(self._dropped) + len(self._newer)

    def search(self, query: str, kind: Type | None, offset: int, count: int) -> list[Found]:
        """Hits offset … offset + count of the result order; `query` as the client typed it."""
        return self._snapshot.find(norm(query), kind, offset, count)

    def matching(self, query: str, kind: Type) -> list[Entry]:
        """Everything of one type that fits in any way, by popularity, then id, descending."""
        fitting = self._snapshot.matching(norm(query), kind)
        return sorted(fitting, key=lambda entry: (entry.popularity, entry.id), reverse=True)

    def keys(self) -> set[Key]:
        """The identities of everything that can be found."""
        return {entry.key for entry in self._snapshot.entries()}

    def replace(self, entries: Iterable[Entry]) -> None:
        """Forget everything and take these entries."""
        self._newer, self._dropped = {}, set()
        self._seal(entries)

    def change(self, changed: Iterable[Entry], removed: Collection[Key] = ()) -> bool:
        """Put entries in or in place of their older state, take others out.

        False if that changes nothing: entries that are equal to what is there are left alone.
        """
        news = {entry.key: entry for entry in changed if self._current(entry.key) != entry}
        gone = [key for key in removed if self._current(key) is not None]
        if not news and not gone:
            return False
        for key in (*news, *gone):
            self._newer.pop(key, None)
            if (rank := self._ranks.get(key)) is not None:
                self._dropped.add(rank)
        self._newer.update(news)
        if len(self._newer) > MAX_NEWER_ENTRIES or len(self._dropped) > MAX_DROPPED_ENTRIES:
            kept = enumerate(self._base.entries)
            live = [entry for rank, entry in kept if rank not in self._dropped]
            self.replace([*live, *self._newer.values()])
        else:
            self._snapshot = Snapshot(self._base, self._newer, self._dropped)
        return True

    def _current(self, key: Key) -> Entry | None:
        if key in self._newer:
            return self._newer[key]
        rank = self._ranks.get(key)
        return None if rank is None or rank in self._dropped else self._base.entries[rank]

    def _seal(self, entries: Iterable[Entry]) -> None:
        """Make one large segment of everything."""
        self.seals += 1
        self._base = Segment(entries)
        self._ranks = {entry.key: rank for rank, entry in enumerate(self._base.entries)}
        self._snapshot = Snapshot(self._base, self._newer, self._dropped)
