"""The reference providers of contract, 7: exact answers, nothing outside is called."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from collections.abc import AsyncIterator

from monolith.errors import provider_failed, provider_timed_out
from monolith.providers.interfaces import (
    Analysis,
    Delta,
    GeneratedImage,
    ImageRequest,
    Label,
    Prompt,
    StoryRequest,
    StoryText,
    Transcript,
    estimate_tokens,
)

SLOW_SECONDS = 2.0
MID_DELTAS = 2
FOLLOW_UPS = (
    "What happens next?",
    "How do you feel about that?",
    "Who else is involved?",
)
ONE_PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)
BEFORE_SPACE = re.compile(r"(?= )")


async def _obey(text: str, kind: str, *, streamed: bool = False) -> None:
    """Do what the markers in a text ask for."""
    if "[[slow]]" in text:
        await asyncio.sleep(SLOW_SECONDS)
    if "[[timeout]]" in text:
        raise provider_timed_out(kind)
    if "[[fail]]" in text or ("[[fail-mid]]" in text and not streamed):
        raise provider_failed(kind)


class ReferenceModel:
    async def replies(self, prompt: Prompt) -> AsyncIterator[Delta]:
        await _obey(prompt.message, "model", streamed=prompt.streamed)
        fails = "[[fail-mid]]" in prompt.message
        sent = 0
        for position, speaker in enumerate(prompt.speakers):
            reply = f"{speaker.name} heard: {prompt.message}"
            for piece in BEFORE_SPACE.split(reply) if prompt.streamed else [reply]:
                if fails and sent == MID_DELTAS:
                    raise provider_failed("model")
                if piece:
                    yield Delta(position, piece)
                    sent += 1

    async def follow_ups(self, _prompt: Prompt, _replies: list[str]) -> list[str]:
        return list(FOLLOW_UPS)

    async def story(self, request: StoryRequest) -> StoryText:
        given = (
            *request.characters,
            request.universe,
            request.title or "",
            request.setting,
            request.tone,
            *request.themes,
        )
        await _obey("\n".join(given), "model")
        world = request.universe or "an unknown world"
        title = request.title or f"{request.characters[0]} in {world}"
        content = f"{title}\n\nA story with {', '.join(request.characters)}."
        return StoryText(title, content, estimate_tokens(content))


class ReferenceSpeech:
    async def transcribe(self, audio: bytes, _kind: str, language: str | None) -> Transcript:
        await _obey(audio.decode("latin-1"), "speech")
        return Transcript(f"transcript of {len(audio)} bytes", language or "en")

    async def speak(self, text: str, voice: str, form: str) -> bytes:
        await _obey(text, "speech")
        digest = hashlib.sha256(f"{voice}|{form}|{text}".encode()).hexdigest()
        return f"REFAUDIO:{digest}".encode()


class ReferenceImages:
    async def generate(self, request: ImageRequest) -> GeneratedImage:
        await _obey(request.prompt, "image")
        return GeneratedImage(ONE_PIXEL, "reference")

    async def analyze(self, data: bytes, content_type: str, question: str) -> Analysis:
        await _obey(question, "image")
        description = f"{content_type}, {len(data)} bytes"
        return Analysis(description, (Label("reference", 1.0),), "reference")


class ReferenceModerator:
    async def allows(self, text: str) -> bool:
        return "[[reject]]" not in text
