"""What moderation is asked, and what its answers mean."""

from __future__ import annotations

import asyncio

import pytest

from services.community.providers.reference import ReferenceModerator
from services.community.service.moderation import check_texts
from shared.errors import CallerError, Code, PeerError


class Asked(ReferenceModerator):
    """The reference, which keeps what it was asked."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    async def allows(self, text: str) -> bool:
        self.texts.append(text)
        return await super().allows(text)


class Stuck:
    async def allows(self, text: str) -> bool:
        await asyncio.sleep(60)
        return True


async def test_all_texts_are_judged_together_and_no_text_not_at_all() -> None:
    moderator = Asked()
    await check_texts(moderator, "a", None, "", "b")
    await check_texts(moderator, None, "")
    assert moderator.texts == ["a\nb"]


async def test_one_bad_text_refuses_all() -> None:
    with pytest.raises(CallerError) as caught:
        await check_texts(ReferenceModerator(), "fine", "[[reject]]")
    assert caught.value.code is Code.CONTENT_REJECTED


async def test_a_moderator_that_does_not_answer_is_a_provider_that_timed_out() -> None:
    with pytest.raises(PeerError) as caught:
        await check_texts(Stuck(), "text", seconds=0.01)
    assert (caught.value.code, caught.value.details) == (
        Code.PROVIDER_TIMEOUT,
        {"provider_kind": "model"},
    )
