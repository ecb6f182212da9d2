"""Voice in and out."""

from __future__ import annotations

from typing import Annotated

from fastapi import File as FilePart
from fastapi import Form, Response, UploadFile

from services.chat.endpoints.dependencies import ChatService
from shared.auth.dependencies import CurrentUser
from shared.contract.chat import DurationMs, Language, Speak, SpeechFormat, Transcript
from shared.web.endpoints import ServiceRouter
from shared.web.uploads import read_audio

router = ServiceRouter()
TYPES: dict[SpeechFormat, str] = {"mp3": "audio/mpeg", "wav": "audio/wav"}


@router.endpoint("chat.transcribe")
async def transcribe(
    chat: ChatService,
    user: CurrentUser,
    audio: Annotated[UploadFile, FilePart()],
    duration_ms: Annotated[DurationMs, Form()],
    language: Annotated[Language | None, Form()] = None,
) -> Transcript:
    return await chat.voice.transcribe(user.id, await read_audio(audio), duration_ms, language)


@router.endpoint("chat.speak")
async def speak(chat: ChatService, user: CurrentUser, body: Speak) -> Response:
    spoken = await chat.voice.speak(user.id, body)
    headers = {"X-Remaining-Quota": str(spoken.remaining), "Content-Type": TYPES[body.format]}
    return Response(spoken.sound, headers=headers)
