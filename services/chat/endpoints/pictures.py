"""Showing a character a picture."""

from __future__ import annotations

from typing import Annotated

from fastapi import File as FilePart
from fastapi import Form, UploadFile

from services.chat.endpoints.dependencies import ChatService
from shared.auth.dependencies import CurrentUser
from shared.contract.chat import (
    DEFAULT_MODEL,
    CharacterName,
    ImageReply,
    ModelName,
    Series,
    Talk,
)
from shared.contract.values import Id, Text
from shared.web.endpoints import ServiceRouter
from shared.web.uploads import read_image

router = ServiceRouter()
Question = Annotated[str, Text(0, 4000)]


@router.endpoint("chat.image")
async def image(
    chat: ChatService,
    user: CurrentUser,
    image: Annotated[UploadFile, FilePart()],
    message: Annotated[Question | None, Form()] = None,
    character: Annotated[CharacterName | None, Form()] = None,
    series: Annotated[Series | None, Form()] = None,
    conversation_id: Annotated[Id | None, Form()] = None,
    model: Annotated[ModelName | None, Form()] = None,
) -> ImageReply:
    said = Talk.model_construct(  # validated above; a picture may come without a message
        message=message or "",
        character=character,
        series=series or "",
        conversation_id=conversation_id,
        model=model or DEFAULT_MODEL,
    )
    return await chat.pictures.show(user.id, said, await read_image(image))
