"""Voice in and out."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import File, Form, Response, UploadFile

from monolith.bodies import AUDIO_BYTES_MAX
from monolith.calls import CurrentCall, reply
from monolith.chat.models import Duration, Language, SpeakIn, TranscribeOut
from monolith.chat.router import router
from monolith.errors import provider_timed_out, too_large, unsupported_type
from monolith.filetypes import AUDIO_TYPES, audio_type_of
from monolith.providers.desk import Providers
from monolith.quotas import charge, settle

PROVIDER_SECONDS = 45.0
UNIT_MS = 60_000
UNIT_CHARACTERS = 1000
SOUND = {"mp3": "audio/mpeg", "wav": "audio/wav"}


@router.route(
    "transcribe",
    "POST",
    "/api/chat/voice/transcribe",
    auth="user",
    kind="upload",
    bucket="generate",
    answer=TranscribeOut,
    keyed=True,
    upload_bytes_max=AUDIO_BYTES_MAX,
)
async def transcribe(
    call: CurrentCall,
    audio: Annotated[UploadFile, File()],
    duration_ms: Annotated[Duration, Form()],
    language: Annotated[Language | None, Form()] = None,
) -> Response:
    sound = await audio.read()
    if len(sound) > AUDIO_BYTES_MAX:
        raise too_large(AUDIO_BYTES_MAX)
    kind = audio_type_of(sound)
    if kind is None:
        raise unsupported_type(AUDIO_TYPES)
    speech = call.context.part(Providers).speech
    async with charge(call, "video", -(-duration_ms // UNIT_MS)) as reservation:
        try:
            async with asyncio.timeout(PROVIDER_SECONDS):
                heard = await speech.transcribe(sound, kind, language)
        except TimeoutError as error:
            raise provider_timed_out("speech") from error
        async with call.context.database.transaction() as connection:
            await settle(connection, reservation.id)
    return reply(
        TranscribeOut(
            text=heard.text,
            language=heard.language,
            duration_ms=duration_ms,
            remaining_quota=reservation.remaining,
        )
    )


@router.route(
    "speak",
    "POST",
    "/api/chat/voice/speak",
    auth="user",
    kind="write",
    bucket="generate",
    keyed=True,
    content=tuple(SOUND.values()),
)
async def speak(call: CurrentCall, body: SpeakIn) -> Response:
    form = body.format or "mp3"
    speech = call.context.part(Providers).speech
    async with charge(call, "video", -(-len(body.text) // UNIT_CHARACTERS)) as reservation:
        try:
            async with asyncio.timeout(PROVIDER_SECONDS):
                sound = await speech.speak(body.text, body.voice or "default", form)
        except TimeoutError as error:
            raise provider_timed_out("speech") from error
        async with call.context.database.transaction() as connection:
            await settle(connection, reservation.id)
    headers = {"X-Remaining-Quota": str(reservation.remaining), "Content-Type": SOUND[form]}
    return Response(sound, headers=headers)
