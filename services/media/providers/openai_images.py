"""Images and moderation by OpenAI; the only module of the service that knows its SDK."""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, cast

import openai
from openai.types.chat import ChatCompletionMessageParam
from pydantic import SecretStr

from services.media.providers.interfaces import MadeImage, SeenImage, Wish
from services.media.settings import MediaSettings
from shared.errors import provider_failed, provider_timed_out

OUTPUT_TOKENS = 1024
CALL_SECONDS = 45.0  # the service itself gives up sooner


class OpenAiImages:
    """One client per process, closed by whoever has made it. The SDK's own retries are off."""

    def __init__(self, client: openai.AsyncOpenAI, image_model: str, vision_model: str) -> None:
        self._client = client
        self._image_model = image_model
        self._vision_model = vision_model

    async def make(self, wish: Wish) -> MadeImage:
        prompt = f"{wish.prompt}. Style: {wish.style}" if wish.style else wish.prompt
        with _translated("image"):
            made = await self._client.images.generate(
                model=self._image_model, prompt=prompt, size=cast(Any, wish.size), n=1
            )
        encoded = made.data[0].b64_json if made.data else None
        try:
            return MadeImage(base64.b64decode(encoded or "", validate=True), self._image_model)
        except binascii.Error as error:
            raise provider_failed("OpenAI sent no image", "image") from error

    async def look(self, content: bytes, content_type: str, question: str) -> SeenImage:
        address = f"data:{content_type};base64,{base64.b64encode(content).decode()}"
        message = {
            "role": "user",
            "content": [
                {"type": "text", "text": question or "Describe this picture."},
                {"type": "image_url", "image_url": {"url": address}},
            ],
        }
        with _translated("image"):
            seen = await self._client.chat.completions.create(
                model=self._vision_model,
                messages=[cast(ChatCompletionMessageParam, message)],
                max_completion_tokens=OUTPUT_TOKENS,
            )
        text = seen.choices[0].message.content if seen.choices else None
        return SeenImage(text or "", (), self._vision_model)

    async def allows(self, text: str) -> bool:
        with _translated("model"):
            judged = await self._client.moderations.create(input=text)
        return not any(result.flagged for result in judged.results)


@asynccontextmanager
async def open_openai(settings: MediaSettings, key: SecretStr) -> AsyncIterator[OpenAiImages]:
    """A client while the block runs; connects with the first call."""
    async with openai.AsyncOpenAI(
        api_key=key.get_secret_value(),
        base_url=settings.openai_base_url,
        timeout=CALL_SECONDS,
        max_retries=0,  # a second paid call needs a decision
    ) as client:
        yield OpenAiImages(client, settings.image_model, settings.vision_model)


@contextmanager
def _translated(kind: str) -> Iterator[None]:
    """Errors of the SDK as the product's; their texts may quote what was sent, so they stay out."""
    try:
        yield
    except openai.APITimeoutError as error:
        raise provider_timed_out("OpenAI did not answer in time", kind) from error
    except openai.OpenAIError as error:
        raise provider_failed(f"OpenAI failed ({type(error).__name__})", kind) from error
