"""The public routes of the media domain (contract, 2.5): parameters in, wire models out."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Form, Request, Response, UploadFile
from fastapi import File as FilePart
from fastapi.responses import JSONResponse

from services.media.models import Place
from services.media.ranges import UnsatisfiableRangeError, parse_range
from services.media.service import MediaService
from shared.auth.dependencies import CurrentUser
from shared.contract.media import (
    Analysis,
    Generate,
    GeneratedMedia,
    Media,
    MediaKind,
    MediaPage,
    MediaPurpose,
    Question,
)
from shared.contract.values import Id
from shared.errors import Code, invalid_fields
from shared.web.context import context_of
from shared.web.cursors import Cursor, Limit, cursor_parameter
from shared.web.endpoints import ServiceRouter
from shared.web.error_responses import error_body
from shared.web.replies import etag_matches
from shared.web.uploads import read_image

router = ServiceRouter()

CONTENT_SECONDS = 3600  # contract, 2.5


async def media_service(request: Request) -> MediaService:
    """The service that the app's lifespan has opened."""
    service: MediaService = request.app.state.media
    return service


Service = Annotated[MediaService, Depends(media_service)]
AfterCursor = Annotated[Cursor | None, Depends(cursor_parameter)]


@router.endpoint("media.generate")
async def generate(media: Service, user: CurrentUser, body: Generate) -> GeneratedMedia:
    return await media.generate(user.id, body)


@router.endpoint("media.analyze")
async def analyze(
    media: Service,
    user: CurrentUser,
    file: Annotated[UploadFile | None, FilePart()] = None,
    media_id: Annotated[Id | None, Form()] = None,
    question: Annotated[Question | None, Form()] = None,
) -> Analysis:
    if file is not None and media_id is None:
        return await media.analyze(user.id, await read_image(file), question or "")
    if media_id is not None and file is None:
        return await media.analyze(user.id, media_id, question or "")
    raise invalid_fields(("form.file", "give exactly one of file and media_id"))


@router.endpoint("media.upload")
async def upload(
    media: Service,
    user: CurrentUser,
    file: Annotated[UploadFile, FilePart()],
    purpose: Annotated[MediaPurpose | None, Form()] = None,
) -> Media:
    return await media.upload(user.id, await read_image(file), purpose or "other")


@router.endpoint("media.list")
async def list_(
    media: Service,
    user: CurrentUser,
    after: AfterCursor,
    kind: MediaKind | None = None,
    purpose: MediaPurpose | None = None,
    limit: Limit = 20,
) -> MediaPage:
    place = Place(after.moment(), after.uuid()) if after is not None else None
    page = await media.page(user.id, kind, purpose, place, limit)
    last = page.last
    return MediaPage(
        items=tuple(page.items),
        next_cursor=Cursor.of(last.created_at, last.id).encode() if last else None,
        has_more=last is not None,
    )


@router.endpoint("media.get")
async def get(media: Service, user: CurrentUser, media_id: Id) -> Media:
    return await media.get(user.id, media_id)


@router.endpoint("media.content")
async def content(media: Service, request: Request, media_id: Id) -> Response:
    stored = await media.find(media_id)
    tag = f'"{stored.sha256}"'
    headers = {
        "ETag": tag,
        "Cache-Control": f"public, max-age={CONTENT_SECONDS}",
        "Accept-Ranges": "bytes",
    }
    asked = request.headers
    if etag_matches(asked.get("if-none-match"), tag):
        return Response(status_code=304, headers=headers)
    body = await media.content(stored)
    headers["Content-Type"] = stored.content_type
    wanted = asked.get("range") if asked.get("if-range", tag) == tag else None
    try:
        part = parse_range(wanted, len(body))
    except UnsatisfiableRangeError:
        return _unsatisfiable(request, len(body))
    if part is None:
        return Response(body, headers=headers)
    headers["Content-Range"] = part.of(len(body))
    return Response(body[part.first : part.last + 1], 206, headers)


def _unsatisfiable(request: Request, size: int) -> Response:
    """416 has no code of its own in the contract's table; the body keeps the one error shape."""
    body = error_body(
        Code.MALFORMED_REQUEST,
        "The range lies outside of the file",
        {},
        context_of(request.scope).request_id,
    )
    return JSONResponse(body, 416, {"Content-Range": f"bytes */{size}"})


@router.endpoint("media.delete")
async def delete(media: Service, user: CurrentUser, media_id: Id) -> None:
    await media.delete(user.id, media_id)
