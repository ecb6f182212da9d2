"""Images made and looked at by a provider, for a quota."""

from __future__ import annotations

import asyncio
from typing import Annotated
from uuid import UUID

from fastapi import File, Form, Response, UploadFile

from monolith.bodies import IMAGE_BYTES_MAX
from monolith.calls import Call, CurrentCall, reply
from monolith.errors import (
    invalid_field,
    not_found,
    provider_failed,
    provider_timed_out,
)
from monolith.filetypes import picture_of
from monolith.media.models import (
    AnalysisOut,
    GeneratedMedia,
    GenerateIn,
    LabelOut,
    Question,
)
from monolith.media.router import router
from monolith.media.rows import (
    NewMedia,
    checked_picture,
    find_own,
    insert,
    media_of,
    new_media_id,
)
from monolith.providers.desk import Providers
from monolith.providers.interfaces import Analysis, GeneratedImage, ImageRequest
from monolith.quotas import charge, settle
from monolith.storage import Storage, media_key
from monolith.values import Identifier

PROVIDER_SECONDS = 45.0
DEFAULT_SIZE = "1024x1024"


@router.route(
    "generate",
    "POST",
    "/api/images/generate",
    auth="tier1",
    kind="write",
    bucket="generate",
    answer=GeneratedMedia,
    success=201,
    keyed=True,
)
async def generate(call: CurrentCall, body: GenerateIn) -> Response:
    context, storage = call.context, call.context.part(Storage)
    await context.part(Providers).moderate(body.prompt, body.style)
    media_id = new_media_id()
    async with charge(call, "image_generation", 1) as reservation:
        request = ImageRequest(body.prompt, body.size or DEFAULT_SIZE, body.style)
        made = await _made(context.part(Providers), request)
        picture = picture_of(made.data)
        if picture is None:
            raise provider_failed("image")
        purpose = body.purpose or "other"
        new = NewMedia(made.data, picture, "generated", purpose, body.prompt, made.model)
        await storage.put(media_key(media_id), made.data)
        try:
            async with context.database.transaction() as connection:
                row = await insert(connection, call, media_id, new, reservation.id)
                await settle(connection, reservation.id)
        except BaseException:
            await storage.delete(media_key(media_id))
            raise
    media = media_of(context, row)
    return reply(GeneratedMedia(**media.model_dump(), remaining_quota=reservation.remaining), 201)


async def _made(providers: Providers, request: ImageRequest) -> GeneratedImage:
    try:
        async with asyncio.timeout(PROVIDER_SECONDS):
            return await providers.images.generate(request)
    except TimeoutError as error:
        raise provider_timed_out("image") from error


@router.route(
    "analyze",
    "POST",
    "/api/images/analyze",
    auth="tier1",
    kind="upload",
    bucket="generate",
    answer=AnalysisOut,
    keyed=True,
    upload_bytes_max=IMAGE_BYTES_MAX,
)
async def analyze(
    call: CurrentCall,
    file: Annotated[UploadFile | None, File()] = None,
    media_id: Annotated[Identifier | None, Form()] = None,
    question: Annotated[Question | None, Form()] = None,
) -> Response:
    if (file is None) == (media_id is None):
        raise invalid_field("form.file", "give exactly one of file and media_id")
    data = await file.read() if file is not None else None
    content_type = checked_picture(data).content_type if data is not None else ""
    if data is None and media_id is not None:
        data, content_type = await _stored(call, media_id)
    await call.context.part(Providers).moderate(question)
    async with charge(call, "image_recognition", 1) as reservation:
        seen = await _seen(call.context.part(Providers), data or b"", content_type, question or "")
        async with call.context.database.transaction() as connection:
            await settle(connection, reservation.id)
    return reply(
        AnalysisOut(
            description=seen.description,
            labels=[LabelOut(name=label.name, score=label.score) for label in seen.labels],
            media_id=media_id,
            model=seen.model,
            remaining_quota=reservation.remaining,
        )
    )


async def _stored(call: Call, media_id: UUID) -> tuple[bytes, str]:
    row = await find_own(call.context, call.user_id, media_id)
    data = await call.context.part(Storage).get(row["storage_key"])
    if data is None:
        raise not_found("No such image")
    return data, row["content_type"]


async def _seen(providers: Providers, data: bytes, content_type: str, question: str) -> Analysis:
    try:
        async with asyncio.timeout(PROVIDER_SECONDS):
            return await providers.images.analyze(data, content_type, question)
    except TimeoutError as error:
        raise provider_timed_out("image") from error
