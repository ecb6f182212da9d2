"""Scenarios that others can play, with the figures of their votes."""

from __future__ import annotations

import json
from uuid import UUID

from services.community.models import Place, Row
from shared.contract.community import CreateScenario, ScenarioScope
from shared.placement import Database
from shared.placement.connection import Connection

_PAGE = """
SELECT s.id, s.creator_id, s.title, s.description, s.characters, s.setting, s.tone, s.is_public,
  s.view_count, s.use_count, s.created_at, s.updated_at, v.up, v.votes
FROM scenarios s LEFT JOIN LATERAL (
  SELECT count(*) FILTER (WHERE value = 1) AS up, count(*) AS votes FROM community_votes
  WHERE target_type = 'scenario' AND target_id = s.id) v ON true
WHERE CASE WHEN $2 THEN s.creator_id = $1 ELSE s.is_public END
  AND ($3::timestamptz IS NULL OR (s.created_at, s.id) < ($3, $4::uuid))
ORDER BY s.created_at DESC, s.id DESC LIMIT $5
"""
_ADD = """
INSERT INTO scenarios AS s (creator_id, title, description, characters, setting, tone, is_public)
VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING s.*, 0 AS up, 0 AS votes
"""


class ScenarioRepository:
    """Scenarios in the database that owns them now."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self, user_id: UUID, scope: ScenarioScope, after: Place | None, rows: int
    ) -> list[Row]:
        """At most `rows` scenarios, public ones or the user's own, newest first."""
        return await self._database.fetch(
            _PAGE,
            user_id,
            scope == "mine",
            after.sort if after else None,
            after.id if after else None,
            rows,
        )

    async def add(self, user_id: UUID, new: CreateScenario) -> Row:
        async def insert(connection: Connection) -> Row:
            row = await connection.fetchrow(
                _ADD,
                user_id,
                new.title,
                new.description,
                json.dumps(list(new.characters), ensure_ascii=False),
                new.setting,
                new.tone,
                new.is_public,
            )
            assert row is not None  # noqa: S101 - an INSERT … RETURNING of one row gives one
            return row

        return await self._database.transaction(insert)
