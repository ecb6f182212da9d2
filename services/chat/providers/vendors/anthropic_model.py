"""Replies from Anthropic's Messages API; the only module that knows its SDK."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import anthropic
import httpx2
from anthropic.types import MessageParam

from services.chat.providers.vendors.calls import (
    Failure,
    ModelCall,
    VendorError,
    failure_of_status,
    retry_after_of,
)

TIMEOUT = httpx2.Timeout(115.0, connect=5.0)  # a stream lasts 120 s at most


class AnthropicModel:
    """One client per process. The SDK's own retries are off: the fallback is the only loop."""

    def __init__(self, key: str, base_url: str | None = None) -> None:
        self._client = anthropic.AsyncAnthropic(
            api_key=key, base_url=base_url, timeout=TIMEOUT, max_retries=0
        )

    async def aclose(self) -> None:
        await self._client.close()

    async def stream(self, model: str, call: ModelCall) -> AsyncGenerator[str, None]:
        try:
            async with self._client.messages.stream(
                model=model,
                max_tokens=call.output_tokens_max,
                system=call.system,
                messages=_messages(call),
            ) as answer:
                async for text in answer.text_stream:
                    yield text
        except (anthropic.APITimeoutError, httpx2.TimeoutException) as error:
            raise VendorError(Failure.TIMEOUT, "no answer in time") from error
        except anthropic.APIStatusError as error:
            raise _of_status(error) from error
        except (anthropic.AnthropicError, httpx2.HTTPError) as error:
            raise VendorError(Failure.OVERLOADED, type(error).__name__) from error


def _messages(call: ModelCall) -> list[MessageParam]:
    messages: list[MessageParam] = []
    for line in call.lines:
        if line.role == "user":
            messages.append({"role": "user", "content": line.text})
        else:
            messages.append({"role": "assistant", "content": line.text})
    return messages


def _of_status(error: anthropic.APIStatusError) -> VendorError:
    """An error inside a stream comes with the stream's status, 200."""
    status = error.status_code
    failure = Failure.OVERLOADED if status < 400 else failure_of_status(status)
    wait = retry_after_of(error.response.headers.get("retry-after"))
    return VendorError(failure, f"status {status}", wait)
