"""Achievements: each once per user, with its event."""

from __future__ import annotations

from uuid import UUID

from monolith.database import Connection, emit


async def unlock(connection: Connection, user_id: UUID, code: str, request_id: str | None) -> None:
    made = await connection.fetchval(
        "INSERT INTO user_achievements (user_id, code) VALUES ($1, $2)"
        " ON CONFLICT DO NOTHING RETURNING true",
        user_id,
        code,
    )
    if made:
        data = {"code": code}
        await emit(connection, "achievement.unlocked", user_id, data, "analytics", request_id)
