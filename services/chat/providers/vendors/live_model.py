"""Replies and follow-up questions from whatever vendors have a key."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from services.chat.models.prompts import Delta, Prompt
from services.chat.providers.vendors.dialogue import follow_up_call, questions_of, reply_call
from services.chat.providers.vendors.fallback import FallbackModel
from services.chat.providers.vendors.registry import ModelRegistry
from shared.errors import PeerError

#: The reply is there already: questions may only delay its end by this much, in seconds.
FOLLOW_UP_SECONDS = 3.0


class LiveModel:
    """Asks one model per speaker, in speaking order. Without `follow_up_model` nothing is suggested."""

    def __init__(
        self, fallback: FallbackModel, registry: ModelRegistry, follow_up_model: str | None
    ) -> None:
        self._fallback = fallback
        self._registry = registry
        self._follow_up_model = follow_up_model

    async def replies(self, prompt: Prompt) -> AsyncGenerator[Delta, None]:
        chain = self._registry.candidates(prompt.model)
        said: list[str] = []
        for place in range(len(prompt.speakers)):
            pieces: list[str] = []
            stream = self._fallback.stream(chain, reply_call(prompt, place, said))
            async with aclosing(stream) as texts:
                async for text in texts:
                    pieces.append(text)
                    yield Delta(place, text)
            said.append("".join(pieces))

    async def follow_ups(self, prompt: Prompt, replies: Sequence[str]) -> list[str]:
        if self._follow_up_model is None:
            return []
        chain = self._registry.candidates(self._follow_up_model)
        pieces: list[str] = []
        try:
            async with (
                asyncio.timeout(FOLLOW_UP_SECONDS),
                aclosing(self._fallback.stream(chain, follow_up_call(prompt, replies))) as texts,
            ):
                pieces.extend([text async for text in texts])
        except (TimeoutError, PeerError):
            return []
        return questions_of("".join(pieces))
