"""Voice in and out, charged by the started minute or thousand characters (contract, 5.2)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from uuid import UUID

from services.chat.providers.interfaces import SpeechProvider
from shared.contract.chat import Speak, Transcript
from shared.errors import provider_timed_out
from shared.quota import Quotas, shown
from shared.web.uploads import File

SPEECH_SECONDS = 45.0  # below the 55 s in which the route must answer
UNIT_MS = 60_000
UNIT_CHARACTERS = 1000


@dataclass(frozen=True, slots=True)
class Spoken:
    """Sound, and what is left of the quota; -1 is unlimited."""

    sound: bytes
    remaining: int


class Voice:
    """Speech to text and back."""

    def __init__(self, speech: SpeechProvider, quotas: Quotas) -> None:
        self._speech = speech
        self._quotas = quotas

    async def transcribe(
        self, user_id: UUID, audio: File, duration_ms: int, language: str | None
    ) -> Transcript:
        units = -(-duration_ms // UNIT_MS)
        async with self._quotas.charge(user_id, "video", units) as charge:
            try:
                async with asyncio.timeout(SPEECH_SECONDS):
                    heard = await self._speech.transcribe(
                        audio.content, audio.content_type, language
                    )
            except TimeoutError as error:
                raise _too_slow() from error
            charge.keep()
        return Transcript(
            text=heard.text,
            language=heard.language,
            duration_ms=duration_ms,
            remaining_quota=shown(charge.remaining),
        )

    async def speak(self, user_id: UUID, said: Speak) -> Spoken:
        units = -(-len(said.text) // UNIT_CHARACTERS)
        async with self._quotas.charge(user_id, "video", units) as charge:
            try:
                async with asyncio.timeout(SPEECH_SECONDS):
                    sound = await self._speech.speak(
                        said.text, said.voice or "default", said.format
                    )
            except TimeoutError as error:
                raise _too_slow() from error
            charge.keep()
        return Spoken(sound, shown(charge.remaining))


def _too_slow() -> Exception:
    return provider_timed_out(f"no answer in {SPEECH_SECONDS:g} s", "speech")
