from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from services.chat.providers.backgrounds.known import FAILED_SECONDS, TEXT_MAX, KnownBackgrounds
from services.chat.providers.backgrounds.sources import SourceError, Tmdb, Wikipedia
from shared.cache import Cache, Namespace


class Kept(Cache):
    """A cache in a dictionary, with the lives of its values."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, ...], Any] = {}
        self.lives: list[int | None] = []

    async def get(self, namespace: Namespace, *parts: str) -> Any | None:
        return self.values.get(parts)

    async def put(
        self, namespace: Namespace, *parts: str, value: Any, ttl_seconds: int | None = None
    ) -> None:
        self.values[parts] = value
        self.lives.append(ttl_seconds)


class Told:
    """A source that says something, now or when it is let go."""

    def __init__(self, text: str | Exception) -> None:
        self.calls = 0
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self._text = text

    async def about(self, _name: str, _series: str) -> str:
        self.calls += 1
        await self.may_answer.wait()
        if isinstance(self._text, Exception):
            raise self._text
        return self._text


async def test_what_the_sources_say_is_kept_and_asked_for_once() -> None:
    one, two, cache = Told("first"), Told("x" * TEXT_MAX), Kept()
    known = KnownBackgrounds(cache, [one, two])
    texts = await asyncio.gather(known.of("Neo", "M"), known.of("NEO", "m"))
    assert texts[0] == texts[1] == ("first\n" + "x" * TEXT_MAX)[:TEXT_MAX]
    assert await known.of("neo", "M") == texts[0]
    assert (one.calls, two.calls, cache.lives) == (1, 1, [None])


async def test_a_slow_source_is_not_waited_for_and_serves_the_next_message() -> None:
    slow = Told("late")
    slow.may_answer.clear()
    known = KnownBackgrounds(Kept(), [slow], wait_seconds=0.01)
    assert await known.of("Neo", "") == ""
    slow.may_answer.set()
    async with asyncio.timeout(5):
        while await known.of("Neo", "") != "late":
            await asyncio.sleep(0)
    assert slow.calls == 1
    slow.may_answer.clear()
    assert await known.of("Trinity", "") == ""
    await known.aclose()


async def test_a_source_that_fails_leaves_what_the_others_say_for_a_minute() -> None:
    cache = Kept()
    known = KnownBackgrounds(cache, [Told(SourceError("down")), Told("something")])
    assert await known.of("Neo", "") == "something"
    assert cache.lives == [FAILED_SECONDS]


def answering(answers: dict[str, Any]) -> httpx.AsyncClient:
    def answer(request: httpx.Request) -> httpx.Response:
        found = answers.get(request.url.path)
        return httpx.Response(found) if isinstance(found, int) else httpx.Response(200, json=found)

    return httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://x")


SEARCH, SUMMARY = "/w/rest.php/v1/search/page", "/api/rest_v1/page/summary/Neo"


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ({"title": "Neo", "extract": "Neo is.", "type": "standard"}, "Neo is."),
        ({"title": "Neo", "extract": "Neo may be:", "type": "disambiguation"}, ""),
        ({"title": "Other", "extract": "Somebody else.", "type": "standard"}, ""),
        (404, ""),
    ],
)
async def test_only_a_page_about_the_character_counts(page: Any, text: str) -> None:
    async with answering({SEARCH: {"pages": [{"key": "Neo"}]}, SUMMARY: page}) as client:
        assert await Wikipedia(client, "http://x").about("Neo", "M") == text


async def test_a_source_that_breaks_says_so_without_its_key() -> None:
    for broken in (500, [1]):
        async with answering({"/search/multi": broken}) as client:
            with pytest.raises(SourceError) as caught:
                await Tmdb(client, "http://x", "secret-key").about("Neo", "M")
            assert "secret-key" not in str(caught.value)


async def test_a_series_tells_its_story_and_who_plays_the_character() -> None:
    answers = {
        "/search/multi": {
            "results": [
                {"media_type": "person", "id": 1},
                {"media_type": "tv", "id": 7, "name": "The Show", "overview": "A story."},
            ]
        },
        "/tv/7/aggregate_credits": {
            "cast": [{"name": "Ann Actor", "roles": [{"character": "Captain Neo"}]}]
        },
    }
    async with answering(answers) as client:
        tmdb = Tmdb(client, "http://x", "key")
        assert await tmdb.about("Neo", "Show") == "The Show: A story. Neo is played by Ann Actor."
        assert await tmdb.about("Cypher", "Show") == "The Show: A story."
        assert await tmdb.about("Neo", "") == ""
