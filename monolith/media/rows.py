"""Rows of media_metadata, and writing one together with its bytes."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from uuid import UUID

from monolith.bodies import IMAGE_BYTES_MAX
from monolith.calls import Call
from monolith.context import Context
from monolith.database import Connection, Row, emit, one
from monolith.errors import not_found, too_large, unsupported_type
from monolith.filetypes import IMAGE_TYPES, Picture, picture_of
from monolith.media.models import Media
from monolith.storage import media_key

MEDIA = """SELECT id, kind, purpose, content_type, bytes, width, height, sha256, prompt, model,
  storage_key, created_at, updated_at FROM media_metadata"""


@dataclass(frozen=True, slots=True)
class NewMedia:
    """Bytes that become an image of a user."""

    data: bytes
    picture: Picture
    kind: str
    purpose: str
    prompt: str | None = None
    model: str | None = None


def media_of(context: Context, row: Row) -> Media:
    fields = {name: row[name] for name in Media.model_fields if name not in {"url", "image_url"}}
    url = context.image_url(row["id"])
    return Media(**fields, url=url, image_url=url)


def checked_picture(data: bytes) -> Picture:
    """PNG, JPEG or WebP of at most 10 MiB, by the leading bytes."""
    if len(data) > IMAGE_BYTES_MAX:
        raise too_large(IMAGE_BYTES_MAX)
    picture = picture_of(data)
    if picture is None:
        raise unsupported_type(IMAGE_TYPES)
    return picture


async def find_own(context: Context, user_id: UUID, media_id: UUID) -> Row:
    row = await context.database.row(MEDIA + " WHERE id = $1 AND user_id = $2", media_id, user_id)
    if row is None:
        raise not_found("No such image")
    return row


async def insert(
    connection: Connection, call: Call, media_id: UUID, new: NewMedia, reservation: UUID | None
) -> Row:
    """The row and media.created, in the caller's transaction; the bytes are stored already."""
    row = await one(
        connection,
        "INSERT INTO media_metadata (id, user_id, kind, purpose, content_type, bytes, width,"
        " height, sha256, storage_key, prompt, model)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) RETURNING *",
        media_id,
        call.user_id,
        new.kind,
        new.purpose,
        new.picture.content_type,
        len(new.data),
        new.picture.width,
        new.picture.height,
        hashlib.sha256(new.data).hexdigest(),
        media_key(media_id),
        new.prompt,
        new.model,
    )
    data = {
        "media_id": str(media_id),
        "kind": new.kind,
        "purpose": new.purpose,
        "reservation_id": None if reservation is None else str(reservation),
    }
    await emit(connection, "media.created", call.user_id, data, "media", call.request_id)
    return row


def new_media_id() -> UUID:
    return uuid.uuid4()
