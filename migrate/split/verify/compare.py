"""Compares tables through a pair of snapshots: sums first, then buckets, rows and columns."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

import asyncpg

from migrate.split.catalogue import Column, Storage, Table, read_storages, read_tables
from migrate.split.chunks import Chunk, plan_chunks
from migrate.split.connection import Connection, close
from migrate.split.context import SplitContext
from migrate.split.model import MovedTable, SplitError
from migrate.split.names import Side, TableName, literal, quote
from migrate.split.tasks import run_all
from migrate.split.verify.barrier import PairedSnapshots
from migrate.split.verify.hashing import (
    HashMode,
    bucket_rows_sql,
    bucket_sums_sql,
    probe_sql,
    sums_sql,
)
from migrate.steps import Progress

#: Bytes of one piece: some seconds of hashing.
CHUNK_BYTES = 256 * 1024 * 1024
CHUNK_SECONDS = 900.0
#: Groups of keys when a table differs; a power of two.
BUCKETS = 4096
#: Groups that are looked into row by row, and differences that are shown in full.
SHOWN_BUCKETS = 64
SHOWN_DIFFERENCES = 20


@dataclass(frozen=True, slots=True)
class Difference:
    """One row that is not equal. Values as text; `shared` or `own` is None where the row lacks."""

    key: tuple[str | None, ...]
    columns: Mapping[str, tuple[str | None, str | None]]  # column -> (shared, own)
    in_shared: bool
    in_own: bool

    def __str__(self) -> str:
        key = ", ".join(str(part) for part in self.key)
        if not self.in_own:
            return f"({key}) is only on the shared database"
        if not self.in_shared:
            return f"({key}) is only on the own database"
        cells = "; ".join(
            f"{name}: shared {shared!r}, own {own!r}"
            for name, (shared, own) in self.columns.items()
        )
        return f"({key}) differs in {cells}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One table. `rows` by side; `differing_buckets` of 4096; differences up to a bound."""

    table: TableName
    rows: Mapping[Side, int]
    is_equal: bool
    differing_buckets: int = 0
    differences: tuple[Difference, ...] = ()


@dataclass(slots=True)
class Sums:
    """What is added up for one table on one side."""

    rows: int = 0
    first: int = 0
    second: int = 0

    def add(self, rows: int, first: str | None, second: str | None) -> None:
        self.rows += rows
        self.first += int(first or 0)
        self.second += int(second or 0)


@dataclass(slots=True)
class CompareTotals:
    """Rows hashed on both sides together, and the time that took."""

    started_at: float = field(default_factory=time.monotonic)
    rows: int = 0
    total_rows: int = 0
    seconds: float = 0.0


class TableChangedError(SplitError):
    """A table was rewritten while it was compared."""


class Comparison:
    """Compares tables inside one pair of snapshots."""

    def __init__(
        self,
        context: SplitContext,
        pair: PairedSnapshots,
        moved: Sequence[MovedTable],
        *,
        jobs: int = 2,
    ) -> None:
        """`jobs`: pieces that are hashed at the same time on each side."""
        self._context = context
        self._pair = pair
        self._moved = {table.name: table for table in moved}
        self._jobs = jobs
        self.totals = CompareTotals()

    async def run(self) -> list[Verdict]:
        """A verdict for every table, in the service's order."""
        tables = {side: await self._tables(side) for side in Side}
        mode = await self._mode()
        columns = {name: table.stored_columns for name, table in tables[Side.SHARED].items()}
        sums = {side: {name: Sums() for name in self._moved} for side in Side}
        chunks = {
            side: plan_chunks(await self._storages(side, tables), CHUNK_BYTES) for side in Side
        }
        self.totals.total_rows = sum(
            chunk.estimated_rows for found in chunks.values() for chunk in found
        )

        async def add(side: Side, chunk: Chunk, connection: Connection) -> None:
            name = self._root_name(tables[side], chunk)
            sql = sums_sql(columns[name], mode, chunk.storage.sql, self._where(name, chunk))
            row = await connection.fetchrow(sql, timeout=CHUNK_SECONDS)
            if row is not None:
                sums[side][name].add(row[0], row[1], row[2])
                self._count(name, row[0])

        await self._everywhere(chunks, add)
        self.totals.seconds = time.monotonic() - self.totals.started_at
        verdicts = []
        for name in self._moved:
            ours, theirs = sums[Side.SHARED][name], sums[Side.OWN][name]
            rows = {Side.SHARED: ours.rows, Side.OWN: theirs.rows}
            if ours == theirs:
                verdicts.append(Verdict(name, rows, True))
            else:
                verdicts.append(await self._search(name, tables, chunks, mode, rows))
        return verdicts

    async def _mode(self) -> HashMode:
        """The fast hash when both servers agree on constants, the portable one otherwise."""
        try:
            found = {
                await (await self._context.control(side)).fetchval(probe_sql()) for side in Side
            }
        except asyncpg.PostgresError:
            return HashMode.TEXT
        return HashMode.RECORD if len(found) == 1 else HashMode.TEXT

    async def _tables(self, side: Side) -> dict[TableName, Table]:
        return await read_tables(await self._context.control(side), list(self._moved))

    async def _storages(
        self, side: Side, tables: Mapping[Side, Mapping[TableName, Table]]
    ) -> list[Storage]:
        oids = [table.oid for table in tables[side].values()]
        return await read_storages(await self._context.control(side), oids)

    def _root_name(self, tables: Mapping[TableName, Table], chunk: Chunk) -> TableName:
        return next(name for name, table in tables.items() if table.oid == chunk.root)

    def _where(self, name: TableName, chunk: Chunk) -> str:
        row_filter = self._moved[name].row_filter
        return f"({row_filter}) AND {chunk.condition}" if row_filter else chunk.condition

    async def _everywhere(
        self,
        chunks: Mapping[Side, Sequence[Chunk]],
        work: Callable[[Side, Chunk, Connection], Awaitable[None]],
    ) -> None:
        """Run `work` on every piece of both sides through the snapshots, `jobs` on each side."""
        workers = []
        for side in Side:
            queue: asyncio.Queue[Chunk] = asyncio.Queue()
            for chunk in chunks[side]:
                queue.put_nowait(chunk)
            count = min(self._jobs, len(chunks[side]))
            workers += [self._drain(side, queue, work) for _ in range(count)]
        await run_all(workers)

    async def _drain(
        self,
        side: Side,
        queue: asyncio.Queue[Chunk],
        work: Callable[[Side, Chunk, Connection], Awaitable[None]],
    ) -> None:
        connection = await self._context.session(side, "verify")
        try:
            await connection.execute("SET max_parallel_workers_per_gather = 0")
            while not queue.empty():
                chunk = queue.get_nowait()
                async with connection.transaction(isolation="repeatable_read", readonly=True):
                    snapshot = self._pair.snapshots[side]
                    await connection.execute(f"SET TRANSACTION SNAPSHOT {literal(snapshot)}")
                    await work(side, chunk, connection)
                    filenode = await connection.fetchval(
                        "SELECT pg_relation_filenode($1::oid)::bigint", chunk.storage_oid
                    )
                if filenode != chunk.filenode:
                    raise TableChangedError(
                        f"table {chunk.storage} was rewritten while it was compared;"
                        " run the command again"
                    )
        finally:
            await close(connection)

    def _count(self, name: TableName, rows: int) -> None:
        totals = self.totals
        totals.rows += rows
        self._context.observer(
            Progress(
                step="verify",
                item=str(name),
                done_rows=totals.rows,
                total_rows=totals.total_rows,
                seconds=time.monotonic() - totals.started_at,
            )
        )

    # ---- a table that differs -----------------------------------------------------------------

    async def _search(
        self,
        name: TableName,
        tables: Mapping[Side, Mapping[TableName, Table]],
        chunks: Mapping[Side, Sequence[Chunk]],
        mode: HashMode,
        rows: Mapping[Side, int],
    ) -> Verdict:
        table = tables[Side.SHARED][name]
        key = key_columns(table)
        mine = {
            side: [c for c in found if c.root == tables[side][name].oid]
            for side, found in chunks.items()
        }
        buckets: dict[Side, dict[int, Sums]] = {side: {} for side in Side}

        async def add(side: Side, chunk: Chunk, connection: Connection) -> None:
            where = self._where(name, chunk)
            sql = bucket_sums_sql(
                table.stored_columns, key, mode, chunk.storage.sql, where, BUCKETS
            )
            for row in await connection.fetch(sql, timeout=CHUNK_SECONDS):
                found = buckets[side].setdefault(row["bucket"], Sums())
                found.add(row["rows"], row["first"], row["second"])

        await self._everywhere(mine, add)
        numbers = set(buckets[Side.SHARED]) | set(buckets[Side.OWN])
        differing = sorted(
            n for n in numbers if buckets[Side.SHARED].get(n) != buckets[Side.OWN].get(n)
        )
        hashes: dict[Side, dict[tuple[str | None, ...], tuple[int, int]]] = {s: {} for s in Side}

        async def collect(side: Side, chunk: Chunk, connection: Connection) -> None:
            where = self._where(name, chunk)
            sql = bucket_rows_sql(
                table.stored_columns, key, mode, chunk.storage.sql, where, BUCKETS
            )
            for row in await connection.fetch(
                sql, differing[:SHOWN_BUCKETS], timeout=CHUNK_SECONDS
            ):
                hashes[side][tuple(row["key"])] = (row["first"], row["second"])

        await self._everywhere(mine, collect)
        keys = differing_keys(hashes[Side.SHARED], hashes[Side.OWN])[:SHOWN_DIFFERENCES]
        values = {side: await self._rows(side, table, key, keys) for side in Side}
        found = tuple(
            describe(row_key, values[Side.SHARED].get(row_key), values[Side.OWN].get(row_key))
            for row_key in keys
        )
        return Verdict(name, rows, False, len(differing), found)

    async def _rows(
        self,
        side: Side,
        table: Table,
        key: Sequence[Column],
        keys: Sequence[tuple[str | None, ...]],
    ) -> dict[tuple[str | None, ...], dict[str, str | None]]:
        """Whole rows as text by key, through the snapshot."""
        connection = await self._context.session(side, "verify")
        texts = ", ".join(f"{quote(c.name)}::text AS {quote(c.name)}" for c in table.stored_columns)
        match = " AND ".join(
            f"{quote(c.name)}::text IS NOT DISTINCT FROM ${n}" for n, c in enumerate(key, 1)
        )
        found: dict[tuple[str | None, ...], dict[str, str | None]] = {}
        try:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                snapshot = self._pair.snapshots[side]
                await connection.execute(f"SET TRANSACTION SNAPSHOT {literal(snapshot)}")
                for row_key in keys:
                    row = await connection.fetchrow(
                        f"SELECT {texts} FROM {table.name.sql} WHERE {match} LIMIT 1",
                        *row_key,
                        timeout=CHUNK_SECONDS,
                    )
                    if row is not None:
                        found[row_key] = dict(row)
        finally:
            await close(connection)
        return found


def key_columns(table: Table) -> tuple[Column, ...]:
    """The primary key, or every column of a table without one."""
    by_name = {column.name: column for column in table.columns}
    return tuple(by_name[name] for name in table.primary_key) or table.stored_columns


def differing_keys(
    shared: Mapping[tuple[str | None, ...], tuple[int, int]],
    own: Mapping[tuple[str | None, ...], tuple[int, int]],
) -> list[tuple[str | None, ...]]:
    """Keys whose rows are not on both sides with the same hashes, in a stable order."""
    keys = [key for key in shared.keys() | own.keys() if shared.get(key) != own.get(key)]
    return sorted(keys, key=lambda key: tuple(part or "" for part in key))


def describe(
    key: tuple[str | None, ...],
    shared: Mapping[str, str | None] | None,
    own: Mapping[str, str | None] | None,
) -> Difference:
    """What is not equal in one row."""
    columns = {}
    if shared is not None and own is not None:
        columns = {
            name: (value, own.get(name)) for name, value in shared.items() if value != own.get(name)
        }
    return Difference(key, columns, shared is not None, own is not None)
