"""Showing a character a picture."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from typing import Annotated
from uuid import UUID

from fastapi import File, Form, Response, UploadFile
from pydantic import Field

from monolith import quotas
from monolith.bodies import IMAGE_BYTES_MAX
from monolith.calls import Call, CurrentCall, reply
from monolith.chat.exchange import (
    Exchange,
    build_prompt,
    known_place,
    new_exchange,
    new_place,
    tier_for,
)
from monolith.chat.models import CharacterName, ImageReply, Series
from monolith.chat.router import router
from monolith.chat.storing import answer, store
from monolith.chat.talk import PROVIDER_SECONDS, collect
from monolith.database import emit
from monolith.errors import provider_timed_out, too_large, unsupported_type
from monolith.filetypes import IMAGE_TYPES, Picture, picture_of
from monolith.providers.desk import Providers
from monolith.providers.interfaces import DEFAULT_MODEL, Analysis, ModelName
from monolith.storage import Storage, media_key
from monolith.values import Identifier, Trimmed

Question = Annotated[Trimmed, Field(max_length=4000)]


@router.route(
    "image",
    "POST",
    "/api/chat/image",
    auth="tier1",
    kind="upload",
    bucket="generate",
    answer=ImageReply,
    keyed=True,
    upload_bytes_max=IMAGE_BYTES_MAX,
)
async def image(
    call: CurrentCall,
    image: Annotated[UploadFile, File()],
    message: Annotated[Question | None, Form()] = None,
    character: Annotated[CharacterName | None, Form()] = None,
    series: Annotated[Series | None, Form()] = None,
    conversation_id: Annotated[Identifier | None, Form()] = None,
    model: Annotated[ModelName | None, Form()] = None,
) -> Response:
    data = await image.read()
    picture = _checked(data)
    chosen = model or DEFAULT_MODEL
    tier = await tier_for(call, chosen)
    if conversation_id is None:
        place = new_place(character, series, "form.character")
    else:
        place = await known_place(call, conversation_id, "single")
    said = message or ""
    await call.context.part(Providers).moderate(said)
    prompt = await build_prompt(call, place, chosen, said, tier, streamed=False)
    media_id = uuid.uuid4()
    reservation = await quotas.reserve(call, "image_recognition", 1)
    exchange = new_exchange(call, place, prompt, reservation, "image", media_id)
    return reply(await _shown(call, exchange, media_id, data, picture))


def _checked(data: bytes) -> Picture:
    if len(data) > IMAGE_BYTES_MAX:
        raise too_large(IMAGE_BYTES_MAX)
    picture = picture_of(data)
    if picture is None:
        raise unsupported_type(IMAGE_TYPES)
    return picture


async def _shown(
    call: Call, exchange: Exchange, media_id: UUID, data: bytes, picture: Picture
) -> ImageReply:
    context, key = call.context, media_key(media_id)
    providers, storage = context.part(Providers), context.part(Storage)
    try:
        replies = await collect(providers, exchange.prompt)
        seen = await _seen(providers, data, picture.content_type)
        await storage.put(key, data)
        async with context.database.transaction() as connection:
            stored_at = await store(connection, exchange, replies, streamed=False)
            facts = {
                "media_id": str(media_id),
                "storage_key": key,
                "content_type": picture.content_type,
                "bytes": len(data),
                "width": picture.width,
                "height": picture.height,
                "sha256": hashlib.sha256(data).hexdigest(),
            }
            await emit(
                connection, "chat.image_received", call.user_id, facts, "chat", call.request_id
            )
    except BaseException:
        await quotas.refund(context.database, exchange.reservation.id)
        await storage.delete(key)
        raise
    follow_ups = await providers.model.follow_ups(exchange.prompt, replies.texts)
    said = answer(exchange, replies, follow_ups, stored_at)
    return ImageReply(**said.model_dump(), media_id=media_id, description=seen.description)


async def _seen(providers: Providers, data: bytes, content_type: str) -> Analysis:
    try:
        async with asyncio.timeout(PROVIDER_SECONDS / 2):
            return await providers.images.analyze(data, content_type, "")
    except TimeoutError as error:
        raise provider_timed_out("image") from error
