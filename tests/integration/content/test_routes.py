from __future__ import annotations

import asyncio
import base64
from uuid import UUID, uuid5

import asyncpg
import httpx
import pytest

from migrate.seed.catalogue import NAMESPACE
from shared.contract.content import (
    ActorDetail,
    ActorPage,
    CharacterDetail,
    CharacterPage,
    Popular,
    SearchPage,
    Suggestions,
    TitleDetail,
    TitlePage,
)
from tests.integration.content.conftest import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

LISTS = (
    "/api/resources/movies",
    "/api/resources/series",
    "/api/resources/characters",
    "/api/resources/actors",
)


def title_id(form: str, title: str, year: int) -> UUID:
    return uuid5(NAMESPACE, "\x1f".join(("title", form, title, str(year))))


MATRIX = f"/api/resources/movies/{title_id('movie', 'The Matrix', 1999)}"
NARUTO = f"/api/resources/series/{title_id('series', 'Naruto', 2002)}"


async def test_search_gives_hits_of_every_kind_with_their_match(client: httpx.AsyncClient) -> None:
    answer = await client.get("/api/search", params={"q": " Matrix ", "limit": 100})
    page = SearchPage.model_validate_json(answer.content)
    assert answer.status_code == 200
    assert page.query == "Matrix"
    assert ("title", "The Matrix", "1999", "word") in {
        (hit.kind, hit.name, hit.subtitle, hit.match) for hit in page.items
    }
    assert ("character", "John Matrix", "Commando", "word") in {
        (hit.kind, hit.name, hit.subtitle, hit.match) for hit in page.items
    }


async def test_search_forgives_typing_errors(client: httpx.AsyncClient) -> None:
    answer = await client.get("/api/search", params={"q": "terminatar"})
    first = SearchPage.model_validate_json(answer.content).items[0]
    assert (first.name, first.match) == ("The Terminator", "fuzzy")


async def test_search_pages_join_to_the_whole_list(client: httpx.AsyncClient) -> None:
    whole = (await client.get("/api/search", params={"q": "an", "limit": 100})).json()["items"]
    joined: list[object] = []
    cursor = None
    while len(joined) < 100:
        params = {"q": "an", "limit": 30} | ({"cursor": cursor} if cursor else {})
        page = (await client.get("/api/search", params=params)).json()
        joined += page["items"]
        cursor = page["next_cursor"]
        assert page["has_more"] is (cursor is not None)
    assert joined[:100] == whole
    assert base64.urlsafe_b64decode(f"{cursor}==") == f"v1|{len(joined)}|-".encode()


async def test_the_last_page_of_a_search_has_no_cursor(client: httpx.AsyncClient) -> None:
    page = (await client.get("/api/search", params={"q": "amelie poulain"})).json()
    assert (page["next_cursor"], page["has_more"]) == (None, False)


@pytest.mark.parametrize(
    ("type_", "kinds"),
    [
        ("movie", {"title"}),
        ("series", {"title"}),
        ("anime", {"title"}),
        ("cartoon", {"title"}),
        ("character", {"character"}),
        ("actor", {"actor"}),
    ],
)
async def test_a_type_narrows_search_and_suggestions(
    client: httpx.AsyncClient, type_: str, kinds: set[str]
) -> None:
    params = {"q": "a", "type": type_}
    found = (await client.get("/api/search", params=params | {"limit": "100"})).json()["items"]
    assert {hit["kind"] for hit in found} == kinds
    suggested = (await client.get("/api/autocomplete", params=params)).json()["suggestions"]
    assert [hit["id"] for hit in suggested] == [hit["id"] for hit in found[:8]]


async def test_suggestions_are_the_first_hits(client: httpx.AsyncClient) -> None:
    answer = await client.get("/api/autocomplete", params={"q": "harry po", "limit": 3})
    body = Suggestions.model_validate_json(answer.content)
    found = (await client.get("/api/search", params={"q": "harry po", "limit": 3})).json()["items"]
    assert body.query == "harry po"
    assert [str(s.id) for s in body.suggestions] == [hit["id"] for hit in found]
    assert body.suggestions[0].text == "Harry Potter"


async def test_a_query_of_signs_finds_nothing(client: httpx.AsyncClient) -> None:
    page = (await client.get("/api/search", params={"q": "?!"})).json()
    assert page == {"items": [], "next_cursor": None, "has_more": False, "query": "?!"}


@pytest.mark.parametrize("path", LISTS)
async def test_lists_come_by_popularity_then_id_and_pages_join(
    client: httpx.AsyncClient, path: str
) -> None:
    whole = (await client.get(path, params={"limit": 100})).json()["items"]
    order = [(item["popularity"], item["id"]) for item in whole]
    assert len(whole) == 100
    assert order == sorted(order, reverse=True)
    first = (await client.get(path, params={"limit": 40})).json()
    second = (await client.get(path, params={"limit": 60, "cursor": first["next_cursor"]})).json()
    assert first["items"] + second["items"] == whole
    last = first["items"][-1]
    expected = f"v1|{last['popularity']!r}|{last['id']}".encode()
    assert base64.urlsafe_b64decode(first["next_cursor"] + "==") == expected


async def test_titles_are_chosen_by_category_genre_and_year(client: httpx.AsyncClient) -> None:
    params = {"category": "cartoon", "genre": "music", "year": "1994"}
    answer = await client.get("/api/resources/movies", params=params)
    page = TitlePage.model_validate_json(answer.content)
    assert [title.title for title in page.items] == ["The Lion King"]
    answer = await client.get("/api/resources/series", params={"category": "anime", "limit": 100})
    series = TitlePage.model_validate_json(answer.content).items
    assert {(title.format, title.category) for title in series} == {("series", "anime")}


async def test_a_movie_has_its_characters_by_popularity(client: httpx.AsyncClient) -> None:
    answer = await client.get(MATRIX)
    detail = TitleDetail.model_validate_json(answer.content)
    assert (detail.title, detail.format, detail.year) == ("The Matrix", "movie", 1999)
    names = [character.name for character in detail.characters]
    assert names[:3] == ["Neo", "Trinity", "Morpheus"]
    assert detail.characters[0].actor_name == "Keanu Reeves"
    assert detail.characters[0].title_id == detail.id


async def test_movies_and_series_do_not_answer_for_each_other(client: httpx.AsyncClient) -> None:
    assert (await client.get(NARUTO)).status_code == 200
    for path in (
        MATRIX.replace("movies", "series"),
        NARUTO.replace("series", "movies"),
        "/api/resources/movies/00000000-0000-4000-8000-000000000000",
    ):
        answer = await client.get(path)
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] == "NOT_FOUND"


async def test_a_character_has_its_title_and_an_actor_the_filmography(
    client: httpx.AsyncClient,
) -> None:
    found = (await client.get("/api/search", params={"q": "neo", "type": "character"})).json()
    answer = await client.get(f"/api/resources/characters/{found['items'][0]['id']}")
    character = CharacterDetail.model_validate_json(answer.content)
    assert character.title is not None
    assert character.title.title == "The Matrix"
    answer = await client.get(f"/api/resources/actors/{character.actor_id}")
    actor = ActorDetail.model_validate_json(answer.content)
    assert actor.name == "Keanu Reeves"
    years = [credit.title.year or 0 for credit in actor.filmography]
    assert years == sorted(years, reverse=True)
    parts = {credit.title.title: credit.characters for credit in actor.filmography}
    assert parts["The Matrix"] == ("Neo",)


async def test_characters_and_actors_are_found_by_name(client: httpx.AsyncClient) -> None:
    answer = await client.get("/api/resources/characters", params={"q": "bond", "limit": 100})
    characters = CharacterPage.model_validate_json(answer.content).items
    assert "James Bond" in {character.name for character in characters}
    order = [(character.popularity, str(character.id)) for character in characters]
    assert order == sorted(order, reverse=True)
    answer = await client.get("/api/resources/actors", params={"q": "hanks"})
    actors = ActorPage.model_validate_json(answer.content).items
    assert "Tom Hanks" in [actor.name for actor in actors]


async def test_found_characters_come_in_pages(client: httpx.AsyncClient) -> None:
    params = {"q": "an", "limit": "50"}
    first = (await client.get("/api/resources/characters", params=params)).json()
    rest = params | {"cursor": first["next_cursor"]}
    second = (await client.get("/api/resources/characters", params=rest)).json()
    both = (await client.get("/api/resources/characters", params=params | {"limit": "100"})).json()
    assert first["items"] + second["items"] == both["items"]


async def test_characters_are_chosen_by_title_and_source(client: httpx.AsyncClient) -> None:
    params = {"title_id": MATRIX.rsplit("/", 1)[1], "q": "tri"}
    page = (await client.get("/api/resources/characters", params=params)).json()
    assert [item["name"] for item in page["items"]] == ["Trinity"]
    params = {"title_id": MATRIX.rsplit("/", 1)[1], "source": "community"}
    assert (await client.get("/api/resources/characters", params=params)).json()["items"] == []


@pytest.mark.parametrize("type_", ["movie", "series", "anime", "cartoon", "character", "actor"])
async def test_popular_gives_the_objects_of_a_type(client: httpx.AsyncClient, type_: str) -> None:
    answer = await client.get("/api/resources/popular", params={"type": type_, "limit": 5})
    body = Popular.model_validate_json(answer.content)
    assert (body.type, len(body.items)) == (type_, 5)
    if type_ in ("anime", "cartoon"):
        assert {item["category"] for item in answer.json()["items"]} == {type_}
    if type_ in ("movie", "series"):
        assert {item["format"] for item in answer.json()["items"]} == {type_}


async def test_popular_gives_twenty_characters_when_nothing_is_said(
    client: httpx.AsyncClient,
) -> None:
    body = (await client.get("/api/resources/popular")).json()
    assert (body["type"], len(body["items"])) == ("character", 20)
    assert "actor_name" in body["items"][0]


@pytest.mark.parametrize(
    ("path", "seconds"),
    [
        ("/api/search?q=a", 60),
        ("/api/autocomplete?q=a", 60),
        *((path, 300) for path in LISTS),
        (MATRIX, 300),
        ("/api/resources/popular", 300),
    ],
)
async def test_answers_may_be_kept_as_long_as_the_contract_says(
    client: httpx.AsyncClient, path: str, seconds: int
) -> None:
    answer = await client.get(path)
    assert answer.headers["cache-control"] == f"public, max-age={seconds}"
    head = await client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == answer.headers["content-length"]


async def test_details_carry_the_time_of_the_row_and_are_not_sent_twice(
    client: httpx.AsyncClient, sql: asyncpg.Connection
) -> None:
    answer = await client.get(MATRIX)
    micros = await sql.fetchval(
        "SELECT (extract(epoch FROM updated_at) * 1000000)::bigint FROM titles WHERE id = $1",
        UUID(MATRIX.rsplit("/", 1)[1]),
    )
    tag = f'W/"{micros}"'
    assert answer.headers["etag"] == tag
    for given in (tag, f'"other", {tag}', "*"):
        again = await client.get(MATRIX, headers={"If-None-Match": given})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == tag
    other = await client.get(MATRIX, headers={"If-None-Match": '"other"'})
    assert other.status_code == 200


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/api/search", "query.q"),
        ("/api/search?q=", "query.q"),
        ("/api/search?q=%20%20", "query.q"),
        (f"/api/search?q={'x' * 101}", "query.q"),
        ("/api/search?q=a%00b", "query.q"),
        ("/api/search?q=a&type=person", "query.type"),
        ("/api/search?q=a&limit=0", "query.limit"),
        ("/api/search?q=a&limit=101", "query.limit"),
        ("/api/search?q=a&limit=ten", "query.limit"),
        ("/api/autocomplete?q=a&limit=11", "query.limit"),
        ("/api/resources/movies?category=manga", "query.category"),
        ("/api/resources/movies?year=soon", "query.year"),
        ("/api/resources/characters?title_id=7", "query.title_id"),
        ("/api/resources/characters?source=me", "query.source"),
        ("/api/resources/actors?q=", "query.q"),
        ("/api/resources/popular?type=films", "query.type"),
        ("/api/resources/movies/7", "path.title_id"),
        ("/api/resources/actors/abc", "path.actor_id"),
    ],
)
async def test_bad_fields_are_named(client: httpx.AsyncClient, path: str, field: str) -> None:
    answer = await client.get(path)
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert error["code"] == "VALIDATION_ERROR"
    assert [entry["path"] for entry in error["details"]["fields"]] == [field]


@pytest.mark.parametrize("path", ["/api/search?q=a&", *(f"{path}?" for path in LISTS)])
@pytest.mark.parametrize(
    "text", ["x", "v1|a|-", "v2|1|-", "v1|1", "v1|nan|-", "v1|-1|-", "v1|99999999|-", "v1|1.5|no"]
)
async def test_broken_cursors_are_malformed(
    client: httpx.AsyncClient, path: str, text: str
) -> None:
    cursor = base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
    for given in (cursor, "!!!"):
        answer = await client.get(f"{path}cursor={given}")
        assert answer.status_code == 400
        assert answer.json()["error"]["code"] == "MALFORMED_REQUEST"


async def test_a_new_character_is_found_soon_and_gone_when_it_is_removed(
    client: httpx.AsyncClient, sql: asyncpg.Connection
) -> None:
    path = "/api/search?q=zzyzx%20the%20unseen"
    id_ = await sql.fetchval(
        "INSERT INTO characters (name, name_norm, series, popularity, source)"
        " VALUES ('Zzyzx the Unseen', 'zzyzx the unseen', 'Tests', 1, 'community') RETURNING id"
    )
    try:
        answer = await eventually(client, path, lambda answer: bool(answer.json()["items"]))
        assert answer.json()["items"][0]["id"] == str(id_)
        listed = await client.get("/api/resources/characters?q=zzyzx&source=community")
        assert [item["id"] for item in listed.json()["items"]] == [str(id_)]
        await sql.execute("UPDATE characters SET series = 'Other tests' WHERE id = $1", id_)
        await eventually(
            client, path, lambda answer: answer.json()["items"][0]["subtitle"] == "Other tests"
        )
    finally:
        await sql.execute("DELETE FROM characters WHERE id = $1", id_)
    await eventually(client, path, lambda answer: not answer.json()["items"])


async def test_many_callers_at_once_get_the_same_answer(client: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(*(client.get("/api/autocomplete?q=spid") for _ in range(50)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
