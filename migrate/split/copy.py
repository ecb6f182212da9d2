"""Copies tables through one snapshot with parallel binary COPYs, each piece exactly once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

import asyncpg

from migrate.split.catalogue import Table
from migrate.split.chunks import Chunk
from migrate.split.connection import Connection, close
from migrate.split.context import SplitContext
from migrate.split.model import MovedTable, SplitError
from migrate.split.names import Direction, Side, literal
from migrate.split.slots import find_slot
from migrate.split.tasks import first_error, run_all
from migrate.split.throttle import Throttle
from migrate.steps import Progress

#: Longest time one piece may take, in seconds: 64 MiB at 0.1 MB/s.
CHUNK_SECONDS = 900.0
#: Buffers between the reading and the writing side of one pipe; asyncpg's buffers are some
#: hundred KiB, so that memory stays at a few MB a pipe however large the table is.
PIPE_BUFFERS = 8
#: Tries of one piece when a connection breaks.
CHUNK_TRIES = 4
#: Seconds between two looks at the WAL that the slot keeps, at the lease and at the source's speed.
WATCH_SECONDS = 1.0


class TableRewrittenError(SplitError):
    """A table got new storage (VACUUM FULL, CLUSTER, TRUNCATE, some ALTER TABLE) during the copy."""

    def __init__(self, table: str) -> None:
        super().__init__(
            f"table {table} was rewritten or truncated during the copy, so its pages are not the"
            " ones of the snapshot any more; run the command again, it starts the copy over"
        )
        self.table = table


class WalLimitError(SplitError):
    """The slot keeps more WAL on the source than was allowed."""


@dataclass(frozen=True, slots=True)
class CopyTask:
    """What is copied of one moved table and how."""

    moved: MovedTable
    source: Table
    target: Table
    format: Literal["binary", "text"]


@dataclass(slots=True)
class CopyTotals:
    """Figures of a running copy, over all tables."""

    started_at: float = field(default_factory=time.monotonic)
    done_rows: int = 0
    done_bytes: int = 0  # estimated bytes of the finished pieces
    wire_bytes: int = 0
    total_rows: int = 0
    total_bytes: int = 0
    retained_bytes: int | None = None

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started_at


def plan_tasks(
    moved: Sequence[MovedTable], source: Mapping[int, Table], target: Mapping[int, Table]
) -> dict[int, CopyTask]:
    """By the source table's oid; text where a column's type differs between the sides."""
    targets = {table.name: table for table in target.values()}
    tasks = {}
    for table in source.values():
        spec = next(entry for entry in moved if entry.name == table.name)
        other = targets[table.name]
        types = {column.name: column.type for column in other.columns}
        is_same = all(types.get(column.name) == column.type for column in table.stored_columns)
        tasks[table.oid] = CopyTask(spec, table, other, "binary" if is_same else "text")
    return tasks


class TableCopy:
    """One copy: a queue of pieces and a few workers, each with a connection to either side."""

    def __init__(
        self,
        context: SplitContext,
        snapshot: str,
        tasks: Mapping[int, CopyTask],
        chunks: Sequence[Chunk],
        *,
        jobs: int = 4,
        throttle: Throttle | None = None,
    ) -> None:
        self._context = context
        self._snapshot = snapshot
        self._slot = context.names.slot(Direction.FORWARD)
        self._tasks = tasks
        self._chunks = list(chunks)
        self._jobs = max(1, min(jobs, len(self._chunks)))
        self._throttle = throttle or Throttle()
        self.totals = CopyTotals(
            total_rows=sum(chunk.estimated_rows for chunk in chunks),
            total_bytes=sum(chunk.estimated_bytes for chunk in chunks),
        )

    async def run(self) -> CopyTotals:
        """Copy every piece that is not there yet; raises on the first failure, keeping the rest."""
        done = await self._finished()
        queue: asyncio.Queue[Chunk] = asyncio.Queue()
        for chunk in self._chunks:
            rows = done.get((str(chunk.storage), chunk.first_page))
            if rows is None:
                queue.put_nowait(chunk)
            else:
                self._count(chunk, rows)
        try:
            async with asyncio.TaskGroup() as group:
                watch = group.create_task(self._watch())
                workers = [group.create_task(self._work(queue)) for _ in range(self._jobs)]
                await asyncio.wait(workers)
                watch.cancel()
        except* Exception as failures:
            raise first_error(failures) from None
        return self.totals

    async def _finished(self) -> dict[tuple[str, int], int]:
        own = await self._context.control(Side.OWN)
        rows = await own.fetch(
            f"SELECT relation, first_page, copied_rows FROM {self._context.names.relation('copied')}"
            " WHERE slot = $1",
            self._slot,
        )
        return {(row["relation"], row["first_page"]): row["copied_rows"] for row in rows}

    async def _work(self, queue: asyncio.Queue[Chunk]) -> None:
        source: Connection | None = None
        target: Connection | None = None
        try:
            while not queue.empty():
                chunk = queue.get_nowait()
                for attempt in range(CHUNK_TRIES):
                    try:
                        if source is None or source.is_closed():
                            source = await self._context.session(Side.SHARED, "copy-out")
                        if target is None or target.is_closed():
                            target = await self._open_target()
                        rows = await self._copy(chunk, source, target)
                        break
                    except (OSError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError):
                        if attempt == CHUNK_TRIES - 1:
                            raise
                        await close(source, 0.5)
                        await close(target, 0.5)
                        await asyncio.sleep(0.5 * (attempt + 1))
                self._count(chunk, rows)
        finally:
            await close(source)
            await close(target)

    async def _open_target(self) -> Connection:
        connection = await self._context.session(Side.OWN, "copy-in")
        # a piece and its record are one commit: losing both in a crash loses nothing
        await connection.execute("SET synchronous_commit = off")
        if self._context.facts[Side.OWN].can_be_replica:
            await connection.execute("SET session_replication_role = replica")
        return connection

    async def _copy(self, chunk: Chunk, source: Connection, target: Connection) -> int:
        task = self._tasks[chunk.root]
        names = self._context.names
        async with (
            source.transaction(isolation="repeatable_read", readonly=True),
            target.transaction(),
        ):
            await source.execute(f"SET TRANSACTION SNAPSHOT {literal(self._snapshot)}")
            select = self._select(task, chunk)
            filenode = await source.fetchval(
                "SELECT pg_relation_filenode($1::oid)::bigint", chunk.storage_oid
            )
            pipe = Pipe(self._throttle)
            status = await pipe.run(source, target, select, task)
            after = await source.fetchval(
                "SELECT pg_relation_filenode($1::oid)::bigint", chunk.storage_oid
            )
            if filenode != chunk.filenode or after != chunk.filenode:
                raise TableRewrittenError(str(chunk.storage))
            rows = int(status.rsplit(" ", 1)[-1])
            await target.execute(
                f"INSERT INTO {names.relation('copied')} (slot, relation, first_page, copied_rows)"
                " VALUES ($1, $2, $3, $4)",
                self._slot,
                str(chunk.storage),
                chunk.first_page,
                rows,
            )
        self.totals.wire_bytes += pipe.size
        return rows

    def _select(self, task: CopyTask, chunk: Chunk) -> str:
        where = f"({task.moved.row_filter}) AND " if task.moved.row_filter else ""
        return (
            f"SELECT {task.source.column_list} FROM ONLY {chunk.storage.sql}"
            f" WHERE {where}{chunk.condition}"
        )

    def _count(self, chunk: Chunk, rows: int) -> None:
        totals = self.totals
        totals.done_rows += rows
        totals.done_bytes += chunk.estimated_bytes
        self._context.observer(
            Progress(
                step="copy",
                item=str(self._tasks[chunk.root].source.name),
                done_rows=totals.done_rows,
                total_rows=totals.total_rows,
                done_bytes=totals.done_bytes,
                total_bytes=totals.total_bytes,
                seconds=totals.seconds,
                lag_bytes=totals.retained_bytes,
            )
        )

    async def _watch(self) -> None:
        """Renew the lease, mind the WAL that waits at the source, feel how busy the source is."""
        from migrate.split.keeper import renew_lease

        connection = await self._context.session(Side.SHARED, "copy-watch")
        limits = self._context.limits
        try:
            while True:
                started = time.monotonic()
                await renew_lease(connection, self._context.names.schema)
                self._throttle.observe_commit((time.monotonic() - started) * 1000.0)
                slot = await find_slot(connection, self._slot)
                if slot is not None:
                    self.totals.retained_bytes = slot.retained_bytes
                    if slot.retained_bytes > limits.max_retained_wal_bytes or (
                        slot.wal_status in ("unreserved", "lost")
                    ):
                        raise WalLimitError(
                            f"slot {slot.name} keeps {slot.retained_bytes:,} bytes of WAL on the"
                            f" shared server (status {slot.wal_status}), too much to go on;"
                            " `migrate db abort` frees it. Copy at a quieter time, with more"
                            " jobs, or with a larger max_slot_wal_keep_size"
                        )
                await asyncio.sleep(WATCH_SECONDS)
        finally:
            with suppress(asyncpg.PostgresError):
                await close(connection)


class Pipe:
    """One COPY out of one server into another, with a bounded buffer in between."""

    def __init__(self, throttle: Throttle) -> None:
        self._throttle = throttle
        self._buffers: asyncio.Queue[bytes | None] = asyncio.Queue(PIPE_BUFFERS)
        self.size = 0

    async def run(self, source: Connection, target: Connection, select: str, task: CopyTask) -> str:
        """Returns the command tag of the writing side, such as `COPY 100`."""
        name = task.target.name
        reading = self._read(source, select, task)
        writing = target.copy_to_table(
            name.name,
            schema_name=name.schema,
            columns=[column.name for column in task.source.stored_columns],
            source=self._feed(),
            format=task.format,
            timeout=CHUNK_SECONDS,
        )
        return str((await run_all([reading, writing]))[1])

    async def _read(self, source: Connection, select: str, task: CopyTask) -> None:
        await source.copy_from_query(
            select, output=self._take, format=task.format, timeout=CHUNK_SECONDS
        )
        await self._buffers.put(None)

    async def _take(self, data: bytes) -> None:
        self.size += len(data)
        await self._throttle.spend(len(data))
        await self._buffers.put(data)

    async def _feed(self) -> AsyncIterator[bytes]:
        while (data := await self._buffers.get()) is not None:
            yield data


def truncate_sql(tables: Sequence[MovedTable]) -> str:
    """Empty what an abandoned copy has left; a filtered table loses only its own rows."""
    whole = [table.name.sql for table in tables if not table.row_filter]
    statements = [f"TRUNCATE {', '.join(whole)}"] if whole else []
    statements += [
        f"DELETE FROM {table.name.sql}{table.where}" for table in tables if table.row_filter
    ]
    return "; ".join(statements)
