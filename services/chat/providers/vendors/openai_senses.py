"""Speech, sight and moderation by OpenAI."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx2
import openai
from openai.types.chat import ChatCompletionMessageParam

from services.chat.providers.interfaces import Heard
from shared.contract.chat import SpeechFormat
from shared.errors import provider_failed, provider_timed_out

DESCRIPTION_TOKENS = 500
DEFAULT_VOICE = "alloy"
MODERATION_SECONDS = 4.0  # it stands before every reply
_ENDINGS = {
    "audio/mpeg": "mp3",
    "audio/mp4": "mp4",
    "audio/wav": "wav",
    "audio/webm": "webm",
    "audio/ogg": "ogg",
}


@dataclass(frozen=True, slots=True)
class SenseModels:
    """OpenAI's names of the models that hear, speak, see and judge."""

    transcription: str
    speech: str
    vision: str
    moderation: str


class OpenAiSenses:
    """One client, closed by whoever has made it."""

    def __init__(self, client: openai.AsyncOpenAI, models: SenseModels) -> None:
        self._client = client
        self._models = models

    async def transcribe(self, audio: bytes, kind: str, language: str | None) -> Heard:
        file = io.BytesIO(audio)
        file.name = f"speech.{_ENDINGS[kind]}"
        with _translated("speech"):
            heard = await self._client.audio.transcriptions.create(
                model=self._models.transcription,
                file=file,
                language=language if language else openai.omit,
            )
        return Heard(heard.text, language or "en")

    async def speak(self, text: str, voice: str, form: SpeechFormat) -> bytes:
        with _translated("speech"):
            spoken = await self._client.audio.speech.create(
                model=self._models.speech,
                voice=DEFAULT_VOICE if voice == "default" else voice,
                input=text,
                response_format=form,
            )
            return bytes(await spoken.aread())

    async def describe(self, image: bytes, content_type: str) -> str:
        address = f"data:{content_type};base64,{base64.b64encode(image).decode()}"
        question: ChatCompletionMessageParam = {
            "role": "user",
            "content": [
                {"type": "text", "text": "Describe this picture."},
                {"type": "image_url", "image_url": {"url": address}},
            ],
        }
        with _translated("image"):
            seen = await self._client.chat.completions.create(
                model=self._models.vision,
                messages=[question],
                max_completion_tokens=DESCRIPTION_TOKENS,
            )
        return (seen.choices[0].message.content if seen.choices else None) or ""

    async def allows(self, text: str) -> bool:
        with _translated("model"):
            judged = await self._client.moderations.create(
                model=self._models.moderation, input=text, timeout=MODERATION_SECONDS
            )
        return not any(one.flagged for one in judged.results)


@contextmanager
def _translated(kind: str) -> Iterator[None]:
    try:
        yield
    except (openai.APITimeoutError, httpx2.TimeoutException) as error:
        raise provider_timed_out("OpenAI did not answer in time", kind) from error
    except (openai.OpenAIError, httpx2.HTTPError) as error:
        raise provider_failed(f"OpenAI failed ({type(error).__name__})", kind) from error
