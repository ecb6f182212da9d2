"""Stories by Anthropic or OpenAI and moderation by OpenAI, by clients that `live` opens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import anthropic
import openai
import structlog

from services.community.providers.interfaces import StoryWish, WrittenStory, estimate_tokens
from shared.errors import PeerError, provider_failed, provider_timed_out

log = structlog.get_logger(__name__)

OUTPUT_TOKENS = 2048
TITLE_MAX = 200
UNTITLED = "Untitled"


class TextModel(Protocol):
    """One answer to one instruction."""

    async def answer(self, instruction: str) -> str: ...


class AnthropicText:
    def __init__(self, client: anthropic.AsyncAnthropic, model: str) -> None:
        self._client = client
        self._model = model

    async def answer(self, instruction: str) -> str:
        with _translated("Anthropic", anthropic.APITimeoutError, anthropic.AnthropicError):
            message = await self._client.messages.create(
                model=self._model,
                max_tokens=OUTPUT_TOKENS,
                messages=[{"role": "user", "content": instruction}],
            )
        return "".join(block.text for block in message.content if block.type == "text")


class OpenAiText:
    def __init__(self, client: openai.AsyncOpenAI, model: str) -> None:
        self._client = client
        self._model = model

    async def answer(self, instruction: str) -> str:
        with _translated("OpenAI", openai.APITimeoutError, openai.OpenAIError):
            made = await self._client.chat.completions.create(
                model=self._model,
                messages=[{"role": "user", "content": instruction}],
                max_completion_tokens=OUTPUT_TOKENS,
            )
        return (made.choices[0].message.content if made.choices else None) or ""


class ModelChain:
    """Asks the models one after the other until one answers; raises the error of the last one."""

    def __init__(self, first: TextModel, *others: TextModel) -> None:
        self._first = first
        self._others = others

    async def answer(self, instruction: str) -> str:
        model = self._first
        for following in self._others:
            try:
                return await model.answer(instruction)
            except PeerError as error:
                log.warning("model_failed", code=error.code.value, reason=error.message)
            model = following
        return await model.answer(instruction)


class ModelStoryteller:
    """The first line of the answer is the title; after an empty line the story follows."""

    def __init__(self, model: TextModel) -> None:
        self._model = model

    async def tell(self, wish: StoryWish) -> WrittenStory:
        text = (await self._model.answer(_instruction(wish))).replace("\x00", "").strip()
        if not text:
            raise provider_failed("the model wrote nothing", "model")
        first, _, rest = text.partition("\n")
        title = wish.title or first.strip("# ").strip()[:TITLE_MAX] or UNTITLED
        return WrittenStory(title, rest.strip() or text, estimate_tokens(text))


class OpenAiModerator:
    def __init__(self, client: openai.AsyncOpenAI) -> None:
        self._client = client

    async def allows(self, text: str) -> bool:
        with _translated("OpenAI", openai.APITimeoutError, openai.OpenAIError):
            judged = await self._client.moderations.create(input=text)
        return not any(result.flagged for result in judged.results)


def _instruction(wish: StoryWish) -> str:
    told = (
        ("Characters", ", ".join(wish.characters)),
        ("World", wish.universe),
        ("Setting", wish.setting),
        ("Tone", wish.tone),
        ("Themes", ", ".join(wish.themes)),
        ("Title", wish.title or ""),
    )
    wishes = " ".join(f"{name}: {value}." for name, value in told if value)
    return (
        "Write a short story. The first line is its title alone, then an empty line, then the"
        f" story. {wishes}"
    )


@contextmanager
def _translated(vendor: str, timeout: type[Exception], failure: type[Exception]) -> Iterator[None]:
    """Errors of an SDK as the product's; their texts may quote what was sent, so they stay out."""
    try:
        yield
    except timeout as error:
        raise provider_timed_out(f"{vendor} did not answer in time", "model") from error
    except failure as error:
        raise provider_failed(f"{vendor} failed ({type(error).__name__})", "model") from error
