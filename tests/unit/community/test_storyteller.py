"""What becomes of a model's answer: title, story, or a failure."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.community.providers.interfaces import StoryWish
from services.community.providers.vendors import ModelChain, ModelStoryteller
from shared.errors import Code, PeerError, provider_failed

WISH = StoryWish(("Ana", "Bob"), "Mars", None, "", "dark", ("hope",))


class Model:
    """Answers what it was given, and keeps the instruction."""

    def __init__(self, answer: str) -> None:
        self.instruction = ""
        self._answer = answer

    async def answer(self, instruction: str) -> str:
        self.instruction = instruction
        return self._answer


@pytest.mark.parametrize(
    ("answer", "title", "content"),
    [
        ("A Title\n\nOnce upon.", "A Title", "Once upon."),
        ("## A Title \nOnce.\nThen.", "A Title", "Once.\nThen."),
        ("Only one line", "Only one line", "Only one line"),
        ("###\n\nOnce.", "Untitled", "Once."),
        (f"{'x' * 300}\n\nOnce.", "x" * 200, "Once."),
        ("A\x00B\n\nOn\x00ce.", "AB", "Once."),
    ],
)
async def test_the_first_line_is_the_title(answer: str, title: str, content: str) -> None:
    story = await ModelStoryteller(Model(answer)).tell(WISH)
    assert (story.title, story.content) == (title, content)
    assert story.tokens > 0


async def test_a_given_title_wins_and_every_wish_is_told() -> None:
    model = Model("A Title\n\nOnce upon.")
    story = await ModelStoryteller(model).tell(replace(WISH, title="Mine"))
    assert (story.title, story.content) == ("Mine", "Once upon.")
    for told in ("Ana, Bob", "Mars", "dark", "hope", "Mine"):
        assert told in model.instruction
    assert "Setting" not in model.instruction


@pytest.mark.parametrize("answer", ["", " \n ", "\x00"])
async def test_an_empty_answer_is_a_failure(answer: str) -> None:
    with pytest.raises(PeerError) as caught:
        await ModelStoryteller(Model(answer)).tell(WISH)
    assert caught.value.code is Code.PROVIDER_ERROR


class Broken:
    """Fails as a vendor does."""

    async def answer(self, instruction: str) -> str:
        raise provider_failed("the vendor is away", "model")


async def test_a_later_model_stands_in_for_one_that_fails() -> None:
    chain = ModelChain(Broken(), Model("A Title\n\nOnce."), Broken())
    assert (await ModelStoryteller(chain).tell(WISH)).content == "Once."


async def test_when_every_model_fails_the_story_does() -> None:
    with pytest.raises(PeerError) as caught:
        await ModelStoryteller(ModelChain(Broken(), Broken())).tell(WISH)
    assert caught.value.code is Code.PROVIDER_ERROR
