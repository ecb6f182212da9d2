"""Notifications: one per key and user, newest first."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from services.community.models import Place, Row
from shared.placement import Database
from shared.placement.connection import Connection

_PAGE = """
SELECT id, kind, title, body, data, read_at IS NOT NULL AS read, created_at FROM notifications
WHERE user_id = $1 AND (NOT $2 OR read_at IS NULL)
  AND ($3::timestamptz IS NULL OR (created_at, id) < ($3, $4::uuid))
ORDER BY created_at DESC, id DESC LIMIT $5
"""
_UNREAD = "SELECT count(*) FROM notifications WHERE user_id = $1 AND read_at IS NULL"
_READ = """
UPDATE notifications SET read_at = now()
WHERE user_id = $1 AND read_at IS NULL AND ($2::uuid[] IS NULL OR id = ANY ($2))
"""
_ADD = """
INSERT INTO notifications (user_id, kind, title, body, data, dedupe_key)
VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (user_id, dedupe_key) DO NOTHING
"""


@dataclass(frozen=True, slots=True)
class Notice:
    """A notification to write; the same `dedupe_key` writes nothing twice for one user."""

    user_id: UUID
    kind: str
    title: str
    body: str
    dedupe_key: str
    data: Mapping[str, Any] = field(default_factory=dict)


class NotificationRepository:
    """Notifications in the database that owns them now."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self, user_id: UUID, *, unread: bool, after: Place | None, rows: int
    ) -> list[Row]:
        """At most `rows` notifications of a user, newest first."""
        return await self._database.fetch(
            _PAGE,
            user_id,
            unread,
            after.sort if after else None,
            after.id if after else None,
            rows,
        )

    async def unread(self, user_id: UUID) -> int:
        count: int = await self._database.fetchval(_UNREAD, user_id)
        return count

    async def mark_read(self, user_id: UUID, ids: Sequence[UUID] | None) -> int:
        """Mark these, or all; how many were unread."""
        status = await self._database.transaction(
            lambda connection: connection.execute(_READ, user_id, ids)
        )
        return int(status.rpartition(" ")[2])


async def add(connection: Connection, notice: Notice) -> None:
    """Write a notice, unless its key is known."""
    await connection.execute(
        _ADD,
        notice.user_id,
        notice.kind,
        notice.title,
        notice.body,
        json.dumps(dict(notice.data), ensure_ascii=False),
        notice.dedupe_key,
    )
