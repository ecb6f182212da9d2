"""The SQL of the media domain; knows no HTTP, no storage and no quota."""

from __future__ import annotations

from uuid import UUID

from services.media.models import ChatImage, NewMedia, Place, StoredMedia, stored_media
from shared.placement import Database
from shared.placement.connection import Connection, Pool

_COLUMNS = """id, user_id, kind, purpose, content_type, bytes, width, height, sha256, storage_key,
 prompt, model, created_at, updated_at"""
_FIND = f"SELECT {_COLUMNS} FROM media_metadata WHERE id = $1"  # noqa: S608 - constants
_FIND_OWN = _FIND + " AND user_id = $2"
_PAGE = f"""
SELECT {_COLUMNS} FROM media_metadata
WHERE user_id = $1 AND ($2::text IS NULL OR kind = $2) AND ($3::text IS NULL OR purpose = $3)
  AND ($4::timestamptz IS NULL OR (created_at, id) < ($4, $5::uuid))
ORDER BY created_at DESC, id DESC LIMIT $6
"""  # noqa: S608 - constants
_BATCH = f"""
SELECT {_COLUMNS} FROM media_metadata WHERE $1::uuid IS NULL OR id > $1 ORDER BY id LIMIT $2
"""  # noqa: S608 - constants
_ADD = f"""
INSERT INTO media_metadata (id, user_id, kind, purpose, content_type, bytes, width, height, sha256,
  storage_key, prompt, model)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) RETURNING {_COLUMNS}
"""  # noqa: S608 - constants
_REMOVE = "DELETE FROM media_metadata WHERE id = $1 AND user_id = $2 RETURNING storage_key"
_ADOPT = """
INSERT INTO media_metadata (id, user_id, kind, purpose, content_type, bytes, width, height, sha256,
  storage_key)
VALUES ($1, $2, 'chat', 'chat', $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING
"""
_LOCK_ALL = "SELECT storage_key FROM media_metadata WHERE user_id = $1 FOR UPDATE"
_REMOVE_ALL = "DELETE FROM media_metadata WHERE user_id = $1"
_IS_LIVE = "SELECT deleted_at IS NULL FROM users WHERE id = $1"


class MediaRepository:
    """Rows in the database that owns them now. Methods with a connection join its transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, media_id: UUID) -> StoredMedia | None:
        row = await self._database.fetchrow(_FIND, media_id)
        return stored_media(row) if row is not None else None

    async def find_own(self, user_id: UUID, media_id: UUID) -> StoredMedia | None:
        row = await self._database.fetchrow(_FIND_OWN, media_id, user_id)
        return stored_media(row) if row is not None else None

    async def page(
        self, user_id: UUID, kind: str | None, purpose: str | None, after: Place | None, rows: int
    ) -> list[StoredMedia]:
        """At most `rows` images of a user, newest first."""
        found = await self._database.fetch(
            _PAGE,
            user_id,
            kind,
            purpose,
            after.created_at if after else None,
            after.id if after else None,
            rows,
        )
        return [stored_media(row) for row in found]

    async def batch(self, after: UUID | None, rows: int) -> list[StoredMedia]:
        """At most `rows` images of all users by id, those after an id."""
        found = await self._database.fetch(_BATCH, after, rows)
        return [stored_media(row) for row in found]

    async def add(self, connection: Connection, new: NewMedia) -> StoredMedia:
        """Insert the row of a file that is stored already."""
        file = new.file
        row = await connection.fetchrow(
            _ADD,
            new.id,
            new.user_id,
            new.kind,
            new.purpose,
            file.content_type,
            len(file.content),
            file.width,
            file.height,
            file.sha256,
            new.storage_key,
            new.prompt,
            new.model,
        )
        assert row is not None  # noqa: S101 - an INSERT … RETURNING of one row gives one
        return stored_media(row)

    async def remove(self, connection: Connection, user_id: UUID, media_id: UUID) -> str | None:
        """Delete an own image; the storage key of its bytes, or None if there is none."""
        key: str | None = await connection.fetchval(_REMOVE, media_id, user_id)
        return key


async def is_live(accounts: Pool, user_id: UUID) -> bool:
    """Whether the account exists and is not deleted; `accounts` is the shared database."""
    return bool(await accounts.fetchval(_IS_LIVE, user_id))


async def adopt(connection: Connection, image: ChatImage) -> None:
    """Insert the row of an image of a conversation; a known id stays as it is."""
    await connection.execute(
        _ADOPT,
        image.id,
        image.user_id,
        image.content_type,
        image.bytes,
        image.width,
        image.height,
        image.sha256,
        image.storage_key,
    )


async def lock_all_of(connection: Connection, user_id: UUID) -> list[str]:
    """Storage keys of all images of a user, whose rows are locked."""
    return [row["storage_key"] for row in await connection.fetch(_LOCK_ALL, user_id)]


async def remove_all_of(connection: Connection, user_id: UUID) -> None:
    await connection.execute(_REMOVE_ALL, user_id)
