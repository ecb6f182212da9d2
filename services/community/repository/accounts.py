"""What the shared database tells of people: who they are and whether they are still there. Reads only."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from services.community.models import Authors, profile_of
from shared.placement.connection import Pool
from shared.placement.session import borrow

_PROFILES = """
SELECT u.id, p.name, p.avatar_media_id FROM users u LEFT JOIN user_profiles p ON p.user_id = u.id
WHERE u.id = ANY ($1::uuid[]) AND u.deleted_at IS NULL
"""
_IS_LIVE = "SELECT deleted_at IS NULL FROM users WHERE id = $1"


class Accounts:
    """Reads of the tables that stay; asked every time, because a new name is seen at once."""

    def __init__(self, pool: Pool, base_url: str) -> None:
        """`pool` is that of the shared database; `base_url` the product's public address."""
        self._pool = pool
        self._base_url = base_url

    async def authors(self, user_ids: Iterable[UUID | None]) -> Authors:
        """The people with these ids that are still there, in one statement."""
        wanted = list({user_id for user_id in user_ids if user_id is not None})
        if not wanted:
            return {}
        async with borrow(self._pool, "shared") as connection:
            rows = await connection.fetch(_PROFILES, wanted)
        return {row["id"]: profile_of(row, self._base_url) for row in rows}

    async def is_live(self, user_id: UUID) -> bool:
        """Whether the account exists and is not deleted."""
        async with borrow(self._pool, "shared") as connection:
            return bool(await connection.fetchval(_IS_LIVE, user_id))
