"""A user's images: upload, list, get, bytes, delete."""

from __future__ import annotations

from typing import Annotated

from fastapi import File, Form, Query, Response, UploadFile

from monolith.bodies import IMAGE_BYTES_MAX
from monolith.calls import Call, CurrentCall, empty, reply, tag_matches
from monolith.database import emit
from monolith.errors import malformed, not_found
from monolith.filetypes import IMAGE_TYPES
from monolith.media.models import Media, MediaPage, MediaQuery, Purpose
from monolith.media.ranges import UnsatisfiableError, parse_range
from monolith.media.router import router
from monolith.media.rows import (
    MEDIA,
    NewMedia,
    checked_picture,
    find_own,
    insert,
    media_of,
    new_media_id,
)
from monolith.pages import Cursor, cut, decode_cursor, time_sort
from monolith.storage import Storage, media_key
from monolith.values import Identifier

CACHED = "public, max-age=3600"


@router.route(
    "upload",
    "POST",
    "/api/images/upload",
    auth="user",
    kind="upload",
    bucket="default",
    answer=Media,
    success=201,
    keyed=True,
    upload_bytes_max=IMAGE_BYTES_MAX,
)
async def upload(
    call: CurrentCall,
    file: Annotated[UploadFile, File()],
    purpose: Annotated[Purpose | None, Form()] = None,
) -> Response:
    data = await file.read()
    new = NewMedia(data, checked_picture(data), "upload", purpose or "other")
    storage, media_id = call.context.part(Storage), new_media_id()
    await storage.put(media_key(media_id), data)
    try:
        async with call.context.database.transaction() as connection:
            row = await insert(connection, call, media_id, new, None)
    except BaseException:
        await storage.delete(media_key(media_id))
        raise
    return reply(media_of(call.context, row), 201)


@router.route(
    "list",
    "GET",
    "/api/images",
    auth="user",
    kind="read",
    bucket="default",
    answer=MediaPage,
)
async def media_list(call: CurrentCall, query: Annotated[MediaQuery, Query()]) -> Response:
    cursor = decode_cursor(query.cursor)
    rows = await call.context.database.fetch(
        MEDIA + " WHERE user_id = $1 AND ($2::text IS NULL OR kind = $2)"
        " AND ($3::text IS NULL OR purpose = $3)"
        " AND ($4::timestamptz IS NULL OR (created_at, id) < ($4, $5))"
        " ORDER BY created_at DESC, id DESC LIMIT $6",
        call.user_id,
        query.kind,
        query.purpose,
        cursor.timestamp() if cursor else None,
        cursor.uuid() if cursor else None,
        query.limit + 1,
    )
    page, rest = cut(rows, query.limit, lambda r: Cursor(time_sort(r["created_at"]), str(r["id"])))
    return reply(
        MediaPage(
            items=[media_of(call.context, row) for row in page],
            next_cursor=rest.next_cursor,
            has_more=rest.has_more,
        )
    )


@router.route(
    "get",
    "GET",
    "/api/images/{media_id}",
    auth="user",
    kind="read",
    bucket="default",
    answer=Media,
)
async def media_get(call: CurrentCall, media_id: Identifier) -> Response:
    return reply(media_of(call.context, await find_own(call.context, call.user_id, media_id)))


@router.route(
    "content",
    "GET",
    "/api/images/{media_id}/content",
    auth="public",
    kind="read",
    bucket="public",
    content=IMAGE_TYPES,
    also={
        206: {"description": "Part of the bytes", "content": {t: {} for t in IMAGE_TYPES}},
        304: {"description": "Not modified"},
        416: {"description": "Range outside of the file"},
        502: {"description": "The storage failed"},
    },
)
async def content(call: CurrentCall, media_id: Identifier) -> Response:
    row = await call.context.database.row(MEDIA + " WHERE id = $1", media_id)
    if row is None:
        raise not_found("No such image")
    asked = call.request.headers
    tag = f'"{row["sha256"]}"'
    headers = {"ETag": tag, "Cache-Control": CACHED, "Accept-Ranges": "bytes"}
    if tag_matches(asked.get("if-none-match"), tag):
        return Response(status_code=304, headers=headers)
    data = await call.context.part(Storage).get(row["storage_key"])
    if data is None:
        raise not_found("No such image")
    headers["Content-Type"] = row["content_type"]
    wanted = asked.get("range") if asked.get("if-range", tag) == tag else None
    try:
        part = parse_range(wanted, len(data))
    except UnsatisfiableError:
        return _unsatisfiable(call, len(data))
    if part is None:
        return Response(data, headers=headers)
    headers["Content-Range"] = part.content_range(len(data))
    return Response(data[part.first : part.last + 1], 206, headers)


def _unsatisfiable(call: Call, size: int) -> Response:
    """416 has no code of its own in the contract's table; the body keeps the one error shape."""
    response = malformed("The range lies outside of the file").response(call.request_id)
    response.status_code = 416
    response.headers["Content-Range"] = f"bytes */{size}"
    return response


@router.route(
    "delete",
    "DELETE",
    "/api/images/{media_id}",
    auth="user",
    kind="write",
    bucket="default",
    success=204,
)
async def media_delete(call: CurrentCall, media_id: Identifier) -> Response:
    async with call.context.database.transaction() as connection:
        key = await connection.fetchval(
            "DELETE FROM media_metadata WHERE id = $1 AND user_id = $2 RETURNING storage_key",
            media_id,
            call.user_id,
        )
        if key is None:
            raise not_found("No such image")
        data = {"media_id": str(media_id)}
        await emit(connection, "media.deleted", call.user_id, data, "media", call.request_id)
    await call.context.part(Storage).delete(key)
    return empty()
