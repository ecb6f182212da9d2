"""Keeps the index equal to the tables: looks at cheap totals often, reads only what has changed."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import asyncpg
import structlog
from prometheus_client import Gauge

from services.content import catalogue_reader as reader
from services.content.catalogue_reader import Stamp, Total
from services.content.search.entries import Entry, Found, Kind, Type
from services.content.search.index import SearchIndex
from shared.errors import PeerError
from shared.observability.reports import report_exception
from shared.placement import Database, PlacementError
from shared.placement.connection import Connection

log = structlog.get_logger(__name__)

#: A writer's row carries the time of the write and appears at its commit: how much later that may
#: be. Later ones are found too, by the totals, only less cheaply.
LATE_COMMIT = timedelta(seconds=60)
#: Pause between two looks: twenty times what a look costs (so at most 5 % of one database core),
#: within these bounds in seconds. The contract allows search to lag 5 s (1.17).
PAUSE_FACTOR, SHORTEST_PAUSE, LONGEST_PAUSE = 20, 0.2, 2.0
#: Pause after a failure, in seconds.
FAILURE_PAUSE = 1.0
#: Longest time that the event loop waits for a thread that builds an index, in seconds.
THREAD_SWITCH_SECONDS = 0.0005

INDEX_ENTRIES = Gauge("content_index_entries", "Names that can be found")
INDEX_REFRESHED = Gauge("content_index_refreshed_timestamp_seconds", "Last look at the tables")

_OUTAGES = (PlacementError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)


class IndexNotLoadedError(PeerError):
    """The catalogue was never read yet: the database has not answered since the start."""

    def __init__(self) -> None:
        super().__init__("the search index is not loaded: the catalogue's database did not answer")


@dataclass(slots=True)
class _Known:
    """What of one table is in the index."""

    stamps: dict[str, Stamp] = field(default_factory=dict)
    sum_of_stamps: int = 0
    newest: Stamp = 0

    @property
    def total(self) -> Total:
        return Total(len(self.stamps), self.sum_of_stamps)

    def total_with(self, change: _Change) -> Total:
        """What the total will be after a change."""
        rows, stamps = len(self.stamps), self.sum_of_stamps
        for entry, stamp in change.news:
            rows += entry.id not in self.stamps
            stamps += stamp - self.stamps.get(entry.id, 0)
        return Total(rows, stamps)

    def apply(self, change: _Change) -> None:
        for entry, stamp in change.news:
            self.sum_of_stamps += stamp - self.stamps.get(entry.id, 0)
            self.stamps[entry.id] = stamp
            self.newest = max(self.newest, stamp)
        for id_ in change.gone:
            self.sum_of_stamps -= self.stamps.pop(id_)


@dataclass(frozen=True, slots=True)
class _Change:
    """What is new or different in one table, and the ids that are gone."""

    kind: Kind
    news: tuple[tuple[Entry, Stamp], ...] = ()
    gone: tuple[str, ...] = ()


class IndexKeeper:
    """Owns the index of a web process; one per process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._index = SearchIndex()
        self._known = {kind: _Known() for kind in Kind}
        self.is_loaded = False

    def search(self, query: str, kind: Type | None, offset: int, count: int) -> list[Found]:
        """As SearchIndex.search; raises IndexNotLoadedError before the first complete reading."""
        return self._loaded().search(query, kind, offset, count)

    def matching(self, query: str, kind: Type) -> list[Entry]:
        """As SearchIndex.matching; raises IndexNotLoadedError before the first complete reading."""
        return self._loaded().matching(query, kind)

    async def refresh(self) -> bool:
        """Bring the index up to date with the tables; whether it has changed."""
        changes = await self._database.read(self._read_changes)
        is_first = not self.is_loaded
        try:
            await self._apply(changes, is_first)
        except BaseException:
            self._known = {kind: _Known() for kind in Kind}  # unknown again: read everything anew
            self.is_loaded = False
            raise
        self.is_loaded = True
        INDEX_ENTRIES.set(len(self._index))
        INDEX_REFRESHED.set_to_current_time()
        return is_first or bool(changes)

    async def _apply(self, changes: list[_Change], is_first: bool) -> None:
        for change in changes:
            self._known[change.kind].apply(change)
        news = [entry for change in changes for entry, _ in change.news]
        gone = [(change.kind, id_) for change in changes for id_ in change.gone]
        if is_first:
            await asyncio.to_thread(self._index.replace, news)
        elif changes:
            await asyncio.to_thread(self._index.change, news, gone)
        if is_first or changes:
            log.info("index_refreshed", changed=len(news), removed=len(gone))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Refresh in the background while the block runs; tunes the interpreter for it."""
        switch_seconds = sys.getswitchinterval()
        sys.setswitchinterval(THREAD_SWITCH_SECONDS)
        task = asyncio.create_task(self._follow(), name="content-index")
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            sys.setswitchinterval(switch_seconds)

    async def _follow(self) -> None:
        loop = asyncio.get_running_loop()
        is_failing = False
        seals = self._index.seals
        while True:
            started = loop.time()
            try:
                await self.refresh()
                if seals != self._index.seals:
                    _spare_the_collector()
                    seals = self._index.seals
                pause = PAUSE_FACTOR * (loop.time() - started)
                pause = min(max(pause, SHORTEST_PAUSE), LONGEST_PAUSE)
                is_failing = False
            except _OUTAGES as error:
                if not is_failing:
                    log.warning("index_not_refreshed", error=type(error).__name__)
                is_failing, pause = True, FAILURE_PAUSE
            except Exception as error:  # the index must keep following whatever a row contains
                report_exception(error, task="content-index")
                pause = LONGEST_PAUSE
            await asyncio.sleep(pause)

    async def _read_changes(self, connection: Connection) -> list[_Change]:
        """What differs from the index, all of one moment; changes nothing here."""
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            now = await reader.totals(connection)
            return [
                await self._read_change(connection, kind, total)
                for kind, total in now.items()
                if total != self._known[kind].total
            ]

    async def _read_change(self, connection: Connection, kind: Kind, total: Total) -> _Change:
        known = self._known[kind]
        if not known.stamps:
            return _Change(kind, tuple(await reader.all_entries(connection, kind)))
        since = datetime.fromtimestamp(known.newest / 1_000_000, UTC) - LATE_COMMIT
        recent = await reader.entries_since(connection, kind, since)
        change = _Change(
            kind, tuple(row for row in recent if known.stamps.get(row[0].id) != row[1])
        )
        if known.total_with(change) == total:
            return change
        stamps = await reader.all_stamps(connection, kind)  # rows are gone, or committed very late
        different = [id_ for id_, stamp in stamps.items() if known.stamps.get(id_) != stamp]
        news = await reader.entries_with(connection, kind, different)
        gone = tuple(id_ for id_ in known.stamps if id_ not in stamps)
        return _Change(kind, tuple(news), gone)

    def _loaded(self) -> SearchIndex:
        if not self.is_loaded:
            raise IndexNotLoadedError
        return self._index


def _spare_the_collector() -> None:
    """Let the garbage collector forget the index: looking through it takes 100 ms and finds nothing.

    Its objects are freed by their reference counts all the same. Young garbage goes first, so that
    it is not kept for ever.
    """
    gc.collect(1)
    gc.freeze()
