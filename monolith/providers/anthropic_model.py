"""Replies from Anthropic's Messages API; chosen for the `claude-` models when a key is set."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anthropic
from anthropic.types import MessageParam

from monolith.errors import provider_failed, provider_timed_out
from monolith.providers.instructions import persona, transcript
from monolith.providers.interfaces import Prompt, Speaker

OUTPUT_TOKENS_MAX = 1024
CALL_SECONDS = 45.0


class AnthropicModel:
    """One client per process."""

    def __init__(self, key: str, base_url: str | None = None) -> None:
        # Retries are off: a second paid call needs a decision, and the deadline is ours.
        self._client = anthropic.AsyncAnthropic(
            api_key=key, base_url=base_url, timeout=CALL_SECONDS, max_retries=0
        )

    async def close(self) -> None:
        await self._client.close()

    async def stream(
        self, vendor_model: str, prompt: Prompt, speaker: Speaker, said: list[str]
    ) -> AsyncIterator[str]:
        """Pieces of one speaker's reply."""
        messages: list[MessageParam] = [
            {"role": "user", "content": transcript(prompt, speaker, said)}
        ]
        try:
            async with self._client.messages.stream(
                model=vendor_model,
                max_tokens=OUTPUT_TOKENS_MAX,
                system=persona(prompt, speaker),
                messages=messages,
            ) as stream:
                async for text in stream.text_stream:
                    yield text
        except anthropic.APITimeoutError as error:
            raise provider_timed_out("model") from error
        except anthropic.AnthropicError as error:
            raise provider_failed("model") from error
