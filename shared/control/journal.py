"""Operations and their journal: what a long command has done, so that running it again continues."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from shared.control.errors import OperationRunningError
from shared.control.store import ControlStore

#: First key of the two-part advisory lock "one operation per subject at a time".
OPERATION_LOCK = 0x57A6


@dataclass(frozen=True, slots=True)
class Operation:
    """One run of a long command: kind (`split`, `cutover`, …), subject (a service) and free data."""

    id: UUID
    kind: str
    subject: str
    status: str  # running | done | failed | undone
    actor: str
    data: Mapping[str, Any]
    started_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class JournalRow:
    """One step of an operation: started, done, failed or undone, with what it must remember."""

    id: int
    step: str
    status: str
    data: Mapping[str, Any]
    at: datetime


class Journal:
    """Append-only record of operations, in the schema `strangler`."""

    def __init__(self, store: ControlStore) -> None:
        self._store = store

    @asynccontextmanager
    async def exclusive(self, subject: str) -> AsyncIterator[None]:
        """Hold the lock of a subject on a connection of its own; OperationRunningError if taken.

        The lock is the session's: it ends with the process, however that ends.
        """
        async with self._store.connection() as connection:
            taken = await connection.fetchval(
                "SELECT pg_try_advisory_lock($1, hashtext($2))", OPERATION_LOCK, subject
            )
            if not taken:
                raise OperationRunningError(subject)
            try:
                yield
            finally:
                if not connection.is_closed():
                    await connection.execute(
                        "SELECT pg_advisory_unlock($1, hashtext($2))", OPERATION_LOCK, subject
                    )

    async def begin(
        self, kind: str, subject: str, *, actor: str, data: Mapping[str, Any] | None = None
    ) -> Operation:
        """The running operation of this kind and subject, or a new one."""
        async with self._store.connection() as connection, connection.transaction():
            row = await connection.fetchrow(
                "SELECT *, data::text AS data_text FROM strangler.operations"
                " WHERE kind = $1 AND subject = $2 AND status = 'running' FOR UPDATE",
                kind,
                subject,
            )
            if row is None:
                row = await connection.fetchrow(
                    "INSERT INTO strangler.operations (kind, subject, actor, data)"
                    " VALUES ($1, $2, $3, $4::text::jsonb) RETURNING *, data::text AS data_text",
                    kind,
                    subject,
                    actor,
                    json.dumps(data or {}, default=str),
                )
            assert row is not None  # noqa: S101 - INSERT … RETURNING gives a row
            return _operation(row)

    async def find(self, kind: str | None, subject: str) -> Operation | None:
        """The newest operation of a subject, of one kind or of any."""
        async with self._store.connection() as connection:
            row = await connection.fetchrow(
                "SELECT *, data::text AS data_text FROM strangler.operations"
                " WHERE subject = $2 AND ($1::text IS NULL OR kind = $1)"
                " ORDER BY started_at DESC LIMIT 1",
                kind,
                subject,
            )
        return None if row is None else _operation(row)

    async def record(
        self,
        operation: UUID,
        step: str,
        status: str,
        data: Mapping[str, Any] | None = None,
    ) -> None:
        """Append one row; durable before this returns."""
        async with self._store.connection() as connection, connection.transaction():
            await connection.execute("SET LOCAL synchronous_commit = on")
            await connection.execute(
                "INSERT INTO strangler.journal (operation, step, status, data)"
                " VALUES ($1, $2, $3, $4::text::jsonb)",
                operation,
                step,
                status,
                json.dumps(data or {}, default=str),
            )

    async def remember(self, operation: UUID, data: Mapping[str, Any]) -> None:
        """Merge keys into the data of an operation."""
        async with self._store.connection() as connection:
            await connection.execute(
                "UPDATE strangler.operations SET data = data || $2::text::jsonb,"
                " updated_at = clock_timestamp() WHERE id = $1",
                operation,
                json.dumps(data, default=str),
            )

    async def finish(self, operation: UUID, status: str) -> None:
        """Close an operation as done, failed or undone."""
        async with self._store.connection() as connection:
            await connection.execute(
                "UPDATE strangler.operations SET status = $2, updated_at = clock_timestamp(),"
                " finished_at = clock_timestamp() WHERE id = $1",
                operation,
                status,
            )

    async def rows(self, operation: UUID) -> tuple[JournalRow, ...]:
        """Every row of an operation in the order of writing."""
        async with self._store.connection() as connection:
            rows = await connection.fetch(
                "SELECT id, step, status, data::text AS data, at FROM strangler.journal"
                " WHERE operation = $1 ORDER BY id",
                operation,
            )
        return tuple(
            JournalRow(row["id"], row["step"], row["status"], json.loads(row["data"]), row["at"])
            for row in rows
        )


def _operation(row: asyncpg.Record) -> Operation:
    return Operation(
        row["id"],
        row["kind"],
        row["subject"],
        row["status"],
        row["actor"],
        json.loads(row["data_text"]),
        row["started_at"],
        row["updated_at"],
    )
