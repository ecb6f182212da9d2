from __future__ import annotations

import pytest

from services.content.providers.facts import fame, title_facts
from tests.support.catalogue_providers import movie, person, series


@pytest.mark.parametrize(
    ("votes", "expected"), [(0, 0.0), (99, 40.0), (9_999, 80.0), (10**9, 100.0), (-1, 0.0)]
)
def test_fame_grows_slowly_with_votes(votes: int, expected: float) -> None:
    assert fame(votes) == expected


def test_a_cast_keeps_its_order_and_leaves_out_what_is_no_character() -> None:
    cast = [
        person(2, "B", "Second (voice)", 1),
        person(1, "A", "First", 0),
        person(3, "C", "Self", 2),
        person(4, "D", "", 3),
        person(5, "E", "First", 4),
    ]
    facts = title_facts(
        "movie", movie(7, "Film", 2000, credits={"cast": cast}), "https://i.example"
    )
    assert facts is not None
    assert [(part.name, part.actor_name) for part in facts.parts] == [
        ("First", "A"),
        ("Second", "B"),
    ]
    assert [part.popularity for part in facts.parts] == [80.0, 74.4]
    assert facts.parts[0].actor_image_url == "https://i.example/p1.jpg"


@pytest.mark.parametrize(
    ("language", "genres", "category"),
    [
        ("ja", [{"id": 16, "name": "Animation"}], "anime"),
        ("en", [{"id": 16, "name": "Animation"}], "cartoon"),
        ("ja", [{"id": 18, "name": "Drama"}], "live_action"),
        ("en", [], "live_action"),
    ],
)
def test_the_category_follows_genre_and_language(
    language: str, genres: list[dict[str, object]], category: str
) -> None:
    found = series(1, "Show", 2001, original_language=language, genres=genres)
    facts = title_facts("series", found, "")
    assert facts is not None
    assert facts.category == category


def test_a_title_may_lack_almost_everything() -> None:
    facts = title_facts("movie", {"id": 1, "title": "Bare"}, "")
    assert facts is not None
    assert (facts.year, facts.overview, facts.poster_url, facts.genres) == (None, "", None, ())
    assert facts.parts == ()
    assert title_facts("movie", {"id": 1, "title": " "}, "") is None
