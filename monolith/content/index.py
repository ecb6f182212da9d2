"""The findable names of the catalogue, kept in memory and refreshed when the tables change."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Sequence
from itertools import islice

from monolith.content.matching import Entry, Found, Names, norm
from monolith.context import Context
from monolith.database import Database, Row

SMALL_ENTRIES = 5000  # up to here a look at the tables costs next to nothing
SMALL_SECONDS, LARGE_SECONDS = 0.2, 3.0  # how old the look may be; the contract allows 5 s
KEPT_QUERIES = 256
MARK = """SELECT (SELECT count(*) FROM titles), (SELECT max(updated_at) FROM titles),
  (SELECT count(*) FROM characters), (SELECT max(updated_at) FROM characters),
  (SELECT count(*) FROM actors), (SELECT max(updated_at) FROM actors)"""
TITLES = """SELECT id::text, title AS name, title_norm AS norm, year, format, category, poster_url,
  popularity FROM titles"""
CHARACTERS = (
    "SELECT id::text, name, name_norm AS norm, series, image_url, popularity FROM characters"
)
ACTORS = "SELECT id::text, name, name_norm AS norm, image_url, popularity FROM actors"


class CatalogueIndex:
    """One per web process."""

    def __init__(self) -> None:
        self._names = Names(())
        self._mark: tuple[object, ...] | None = None
        self._looked_at = float("-inf")
        self._turn = asyncio.Lock()
        self._pages: dict[tuple[str, str | None, int], list[Found]] = {}

    async def open(self) -> None:
        """Nothing to open: the first search reads the catalogue."""

    async def close(self) -> None:
        """Nothing to close."""

    async def search(
        self, context: Context, query: str, type_name: str | None, first: int, count: int
    ) -> list[Found]:
        """Hits first … first + count of the result order."""
        names = await self._current(context.database)
        wanted = first + count
        key = (norm(query), type_name, wanted)
        hits = self._pages.get(key)
        if hits is None:
            hits = list(islice(names.find(key[0], type_name), wanted))
            if len(self._pages) >= KEPT_QUERIES:
                self._pages.clear()
            self._pages[key] = hits
        return hits[first:]

    async def matching(self, context: Context, query: str, type_name: str) -> list[Entry]:
        """Everything of one type that fits, by popularity, then id, descending."""
        names = await self._current(context.database)
        entries = [found.entry for found in names.find(norm(query), type_name)]
        return sorted(entries, key=lambda e: (e.popularity, e.id), reverse=True)

    async def _current(self, database: Database) -> Names:
        small = len(self._names.entries) <= SMALL_ENTRIES
        age = SMALL_SECONDS if small else LARGE_SECONDS
        fresh = time.monotonic() - self._looked_at < age
        if fresh or (self._turn.locked() and self._mark is not None):
            return self._names
        async with self._turn:
            if time.monotonic() - self._looked_at >= age:
                await self._refresh(database)
        return self._names

    async def _refresh(self, database: Database) -> None:
        row = await database.row(MARK)
        mark = tuple(row.values()) if row is not None else ()
        if mark != self._mark:
            async with database.connection() as connection:
                titles = await connection.fetch(TITLES)
                characters = await connection.fetch(CHARACTERS)
                actors = await connection.fetch(ACTORS)
            self._names = await asyncio.to_thread(_build, titles, characters, actors)
            self._pages.clear()
            self._mark = mark
        self._looked_at = time.monotonic()


def _build(titles: Sequence[Row], characters: Sequence[Row], actors: Sequence[Row]) -> Names:
    entries = [_title(row) for row in titles]
    entries += [_person(row, 1, row["series"] or None, "character") for row in characters]
    entries += [_person(row, 2, None, "actor") for row in actors]
    names = Names(entries)
    if len(entries) > SMALL_ENTRIES:
        # Hundreds of thousands of objects that live long: the collector need not walk them again.
        gc.collect()
        gc.freeze()
    return names


def _title(row: Row) -> Entry:
    year = None if row["year"] is None else str(row["year"])
    types = frozenset({row["format"], row["category"]})
    return Entry(
        row["norm"], 0, row["id"], row["name"], year, row["poster_url"], row["popularity"], types
    )


def _person(row: Row, kind: int, subtitle: str | None, type_name: str) -> Entry:
    return Entry(
        row["norm"],
        kind,
        row["id"],
        row["name"],
        subtitle,
        row["image_url"],
        row["popularity"],
        frozenset({type_name}),
    )
