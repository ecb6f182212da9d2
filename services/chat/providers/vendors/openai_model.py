"""Replies from OpenAI's chat completions and from those that speak like it (Groq, DeepSeek, Gemini)."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import httpx2
import openai
from openai.types.chat import ChatCompletionMessageParam

from services.chat.providers.vendors.calls import (
    Failure,
    ModelCall,
    VendorError,
    failure_of_status,
    retry_after_of,
)

TIMEOUT = httpx2.Timeout(115.0, connect=5.0)  # a stream lasts 120 s at most


def openai_client(key: str, base_url: str | None) -> openai.AsyncOpenAI:
    """A client for one address. The SDK's own retries are off: the fallback is the only loop."""
    return openai.AsyncOpenAI(api_key=key, base_url=base_url, timeout=TIMEOUT, max_retries=0)


class OpenAiModel:
    """One client, closed by whoever has made it.

    `new_limit_name`: whether the bound of the output is called `max_completion_tokens`, as OpenAI
    and Groq want it; the others know `max_tokens` only. `thinking_tokens`: what models that think
    before they speak may use beyond that bound.
    """

    def __init__(
        self, client: openai.AsyncOpenAI, *, new_limit_name: bool, thinking_tokens: int = 0
    ) -> None:
        self._client = client
        self._new_limit_name = new_limit_name
        self._thinking_tokens = thinking_tokens

    async def stream(self, model: str, call: ModelCall) -> AsyncGenerator[str, None]:
        limit = call.output_tokens_max + self._thinking_tokens
        try:
            chunks = await self._client.chat.completions.create(
                model=model,
                messages=_messages(call),
                stream=True,
                max_completion_tokens=limit if self._new_limit_name else openai.omit,
                max_tokens=openai.omit if self._new_limit_name else limit,
            )
            async with chunks:
                async for chunk in chunks:
                    if chunk.choices and chunk.choices[0].delta.content:
                        yield chunk.choices[0].delta.content
        except (openai.APITimeoutError, httpx2.TimeoutException) as error:
            raise VendorError(Failure.TIMEOUT, "no answer in time") from error
        except openai.APIStatusError as error:
            wait = retry_after_of(error.response.headers.get("retry-after"))
            failure = failure_of_status(error.status_code)
            raise VendorError(failure, f"status {error.status_code}", wait) from error
        except (openai.OpenAIError, httpx2.HTTPError) as error:
            raise VendorError(Failure.OVERLOADED, type(error).__name__) from error


def _messages(call: ModelCall) -> list[ChatCompletionMessageParam]:
    messages: list[ChatCompletionMessageParam] = [{"role": "system", "content": call.system}]
    for line in call.lines:
        if line.role == "user":
            messages.append({"role": "user", "content": line.text})
        else:
            messages.append({"role": "assistant", "content": line.text})
    return messages
