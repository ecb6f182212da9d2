"""The reference providers of the contract (7): exact answers, nothing outside is called."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncGenerator, Sequence

from services.chat.models.prompts import Delta, Prompt
from services.chat.providers.interfaces import Heard, Providers
from shared.contract.chat import SpeechFormat
from shared.errors import provider_failed, provider_timed_out

SLOW_SECONDS = 2.0
DELTAS_BEFORE_FAILURE = 2
FOLLOW_UPS = ("What happens next?", "How do you feel about that?", "Who else is involved?")
_BEFORE_SPACE = re.compile(r"(?= )")


async def _obey(text: str, kind: str, *, is_streamed: bool = False) -> None:
    """Do what the markers in a text ask for."""
    if "[[slow]]" in text:
        await asyncio.sleep(SLOW_SECONDS)
    if "[[timeout]]" in text:
        raise provider_timed_out("the text asked for it", kind)
    if "[[fail]]" in text or ("[[fail-mid]]" in text and not is_streamed):
        raise provider_failed("the text asked for it", kind)


class ReferenceModel:
    """`<character> heard: <message>`, cut before each space where it is streamed."""

    async def replies(self, prompt: Prompt) -> AsyncGenerator[Delta, None]:
        await _obey(prompt.message, "model", is_streamed=prompt.is_streamed)
        fails = "[[fail-mid]]" in prompt.message
        sent = 0
        for place, speaker in enumerate(prompt.speakers):
            reply = f"{speaker.name} heard: {prompt.message}"
            for piece in _BEFORE_SPACE.split(reply) if prompt.is_streamed else [reply]:
                if fails and sent == DELTAS_BEFORE_FAILURE:
                    raise provider_failed("the text asked for it", "model")
                if piece:
                    yield Delta(place, piece)
                    sent += 1

    async def follow_ups(self, _prompt: Prompt, _replies: Sequence[str]) -> list[str]:
        return list(FOLLOW_UPS)


class ReferenceSpeech:
    async def transcribe(self, audio: bytes, _kind: str, language: str | None) -> Heard:
        await _obey(audio.decode("latin-1"), "speech")
        return Heard(f"transcript of {len(audio)} bytes", language or "en")

    async def speak(self, text: str, voice: str, form: SpeechFormat) -> bytes:
        await _obey(text, "speech")
        return b"REFAUDIO:" + hashlib.sha256(f"{voice}|{form}|{text}".encode()).hexdigest().encode()


class ReferenceVision:
    async def describe(self, image: bytes, content_type: str) -> str:
        return f"{content_type}, {len(image)} bytes"


class ReferenceModerator:
    async def allows(self, text: str) -> bool:
        return "[[reject]]" not in text


class NoBackgrounds:
    async def of(self, _name: str, _series: str) -> str:
        return ""


def reference_providers() -> Providers:
    """All of them."""
    return Providers(
        ReferenceModel(),
        ReferenceSpeech(),
        ReferenceVision(),
        ReferenceModerator(),
        NoBackgrounds(),
    )
