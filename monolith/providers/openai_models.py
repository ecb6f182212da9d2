"""Replies, speech, pictures and moderation from OpenAI or a compatible address."""

from __future__ import annotations

import base64
import io
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any, cast

import openai
from openai.types.chat import ChatCompletionMessageParam

from monolith.errors import ApiError, provider_failed, provider_timed_out
from monolith.providers.instructions import persona, transcript
from monolith.providers.interfaces import (
    Analysis,
    GeneratedImage,
    ImageRequest,
    Prompt,
    Speaker,
    Transcript,
)

OUTPUT_TOKENS_MAX = 1024
CALL_SECONDS = 45.0
ENDINGS = {
    "audio/mpeg": "mp3",
    "audio/mp4": "mp4",
    "audio/wav": "wav",
    "audio/webm": "webm",
    "audio/ogg": "ogg",
}


@contextmanager
def _translated(kind: str) -> Iterator[None]:
    try:
        yield
    except ApiError:
        raise
    except openai.APITimeoutError as error:
        raise provider_timed_out(kind) from error
    except openai.OpenAIError as error:
        raise provider_failed(kind) from error


class OpenAiModels:
    """One client per process and address."""

    def __init__(self, key: str, base_url: str | None = None) -> None:
        self._client = openai.AsyncOpenAI(
            api_key=key, base_url=base_url, timeout=CALL_SECONDS, max_retries=0
        )

    async def close(self) -> None:
        await self._client.close()

    async def stream(
        self, vendor_model: str, prompt: Prompt, speaker: Speaker, said: list[str]
    ) -> AsyncIterator[str]:
        """Pieces of one speaker's reply."""
        messages: list[ChatCompletionMessageParam] = [
            {"role": "system", "content": persona(prompt, speaker)},
            {"role": "user", "content": transcript(prompt, speaker, said)},
        ]
        with _translated("model"):
            stream = await self._client.chat.completions.create(
                model=vendor_model,
                messages=messages,
                max_completion_tokens=OUTPUT_TOKENS_MAX,
                stream=True,
            )
            async for chunk in stream:
                if chunk.choices and chunk.choices[0].delta.content:
                    yield chunk.choices[0].delta.content

    async def transcribe(self, audio: bytes, kind: str, language: str | None) -> Transcript:
        file = io.BytesIO(audio)
        file.name = f"speech.{ENDINGS[kind]}"
        given: dict[str, Any] = {"language": language} if language else {}
        with _translated("speech"):
            heard = await self._client.audio.transcriptions.create(
                model="whisper-1", file=file, **given
            )
        return Transcript(heard.text, language or "en")

    async def speak(self, text: str, voice: str, form: str) -> bytes:
        chosen = "alloy" if voice == "default" else voice
        with _translated("speech"):
            spoken = await self._client.audio.speech.create(
                model="tts-1", voice=chosen, input=text, response_format=cast(Any, form)
            )
            return bytes(await spoken.aread())

    async def generate(self, request: ImageRequest) -> GeneratedImage:
        style = f"{request.prompt}. Style: {request.style}" if request.style else request.prompt
        with _translated("image"):
            made = await self._client.images.generate(
                model="gpt-image-1", prompt=style, size=cast(Any, request.size), n=1
            )
        encoded = made.data[0].b64_json if made.data else None
        if not encoded:
            raise provider_failed("image")
        return GeneratedImage(base64.b64decode(encoded), "gpt-image-1")

    async def analyze(self, data: bytes, content_type: str, question: str) -> Analysis:
        address = f"data:{content_type};base64,{base64.b64encode(data).decode()}"
        messages = [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": question or "Describe this picture."},
                    {"type": "image_url", "image_url": {"url": address}},
                ],
            }
        ]
        with _translated("image"):
            seen = await self._client.chat.completions.create(
                model="gpt-4o-mini",
                messages=cast(list[ChatCompletionMessageParam], messages),
                max_completion_tokens=OUTPUT_TOKENS_MAX,
            )
        return Analysis(seen.choices[0].message.content or "", (), "gpt-4o-mini")

    async def allows(self, text: str) -> bool:
        with _translated("model"):
            judged = await self._client.moderations.create(input=text)
        return not any(result.flagged for result in judged.results)
