"""Catalogue: search, lists, details."""

from __future__ import annotations

import asyncio
import uuid

import asyncpg
import httpx
import pytest

from shared.contract.norm import norm
from tests.support.people import error_code

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def title(
    database: asyncpg.Connection, name: str, popularity: float = 1.0, **columns: object
) -> uuid.UUID:
    values = {
        "format": "movie",
        "category": "live_action",
        "title": name,
        "title_norm": norm(name),
        "popularity": popularity,
        **columns,
    }
    numbers = ", ".join(f"${at}" for at in range(1, len(values) + 1))
    made: uuid.UUID = await database.fetchval(
        f"INSERT INTO titles ({', '.join(values)}) VALUES ({numbers}) RETURNING id",
        *values.values(),
    )
    return made


async def person(
    database: asyncpg.Connection, table: str, name: str, popularity: float = 1.0, **columns: object
) -> uuid.UUID:
    values = {"name": name, "name_norm": norm(name), "popularity": popularity, **columns}
    numbers = ", ".join(f"${at}" for at in range(1, len(values) + 1))
    made: uuid.UUID = await database.fetchval(
        f"INSERT INTO {table} ({', '.join(values)}) VALUES ({numbers}) RETURNING id",
        *values.values(),
    )
    return made


async def found(client: httpx.AsyncClient, query: str, names: list[str]) -> None:
    """Wait until a search gives these names: the index may lag by 5 s, also behind deletions."""
    async with asyncio.timeout(10):
        while True:
            hits = (await client.get(f"/api/search?{query}")).json()["items"]
            if [hit["name"] for hit in hits] == names:
                return
            await asyncio.sleep(0.05)


@pytest.mark.everybody
async def test_search_orders_by_class_and_popularity_and_pages_by_offset(
    client: httpx.AsyncClient, database: asyncpg.Connection
) -> None:
    await title(database, "Amélie", 1, year=2001)
    await title(database, "Amelie's World", 2)
    await title(database, "Finding Amelie", 3)
    await person(database, "characters", "Xamelie", 4, series="X")
    await person(database, "actors", "Ameli", 5)
    await found(
        client, "q=AMELIE", ["Amélie", "Amelie's World", "Finding Amelie", "Xamelie", "Ameli"]
    )
    answer = (await client.get("/api/search?q=AMELIE&limit=3")).json()
    assert [(hit["match"], hit["name"]) for hit in answer["items"]] == [
        ("exact", "Amélie"),
        ("prefix", "Amelie's World"),
        ("word", "Finding Amelie"),
    ]
    assert answer["items"][0]["subtitle"] == "2001"
    assert answer["has_more"] is True
    rest = await client.get(f"/api/search?q=AMELIE&limit=3&cursor={answer['next_cursor']}")
    assert [(hit["match"], hit["kind"], hit["subtitle"]) for hit in rest.json()["items"]] == [
        ("substring", "character", "X"),
        ("fuzzy", "actor", None),
    ]
    assert rest.json()["has_more"] is False
    assert rest.headers["cache-control"] == "public, max-age=60"


@pytest.mark.everybody
async def test_a_type_limits_search_and_autocomplete(
    client: httpx.AsyncClient, database: asyncpg.Connection
) -> None:
    await title(database, "Naruto", 1, format="series", category="anime")
    await person(database, "characters", "Naruto", 9, series="Naruto")
    await found(client, "q=naruto", ["Naruto", "Naruto"])
    for kind, wanted in (("anime", "title"), ("series", "title"), ("character", "character")):
        hits = (await client.get(f"/api/search?q=naruto&type={kind}")).json()["items"]
        assert [hit["kind"] for hit in hits] == [wanted]
    answer = (await client.get("/api/autocomplete?q=naru&limit=1")).json()
    assert answer["query"] == "naru"
    assert [s["text"] for s in answer["suggestions"]] == ["Naruto"]
    assert set(answer["suggestions"][0]) == {"kind", "id", "text", "subtitle", "image_url"}


@pytest.mark.parametrize("query", ["q=", "", "q=" + "x" * 101, "q=a&type=book", "q=a%00"])
async def test_a_search_without_a_good_text_is_refused(
    client: httpx.AsyncClient, query: str
) -> None:
    assert error_code(await client.get(f"/api/search?{query}")) == "VALIDATION_ERROR"


@pytest.mark.everybody
async def test_a_text_of_punctuation_finds_nothing(
    client: httpx.AsyncClient, database: asyncpg.Connection
) -> None:
    await title(database, "Up")
    await found(client, "q=up", ["Up"])
    assert (await client.get("/api/search?q=%3F%21")).json()["items"] == []


async def test_a_broken_cursor_is_malformed(client: httpx.AsyncClient) -> None:
    for path in ("/api/search?q=a", "/api/resources/movies?x=1", "/api/resources/actors?x=1"):
        answer = await client.get(f"{path}&cursor=nonsense")
        assert (answer.status_code, error_code(answer)) == (400, "MALFORMED_REQUEST")


@pytest.mark.everybody
async def test_search_sees_changes_of_the_tables(
    client: httpx.AsyncClient, database: asyncpg.Connection
) -> None:
    first = await title(database, "First")
    await found(client, "q=first", ["First"])
    await database.execute("DELETE FROM titles WHERE id = $1", first)
    await title(database, "Second")
    await found(client, "q=second", ["Second"])
    assert (await client.get("/api/search?q=first")).json()["items"] == []


@pytest.mark.everybody
async def test_lists_go_by_popularity_then_id_and_keep_their_place(
    client: httpx.AsyncClient, database: asyncpg.Connection
) -> None:
    for number in range(7):
        await title(database, f"Movie {number}", float(number % 2))
    await title(database, "A series", 99, format="series")
    seen: list[str] = []
    cursor = ""
    while True:
        page = (await client.get(f"/api/resources/movies?limit=3{cursor}")).json()
        seen += [item["id"] for item in page["items"]]
        if not page["has_more"]:
            break
        cursor = f"&cursor={page['next_cursor']}"
    rows = await database.fetch(
        "SELECT id FROM titles WHERE format = 'movie' ORDER BY popularity DESC, id DESC"
    )
    assert seen == [str(row["id"]) for row in rows]


@pytest.mark.everybody
async def test_lists_can_be_filtered(
    client: httpx.AsyncClient, database: asyncpg.Connection
) -> None:
    await title(database, "A", category="anime", year=1999, genres=["Drama"])
    await title(database, "B", category="cartoon", year=2000, genres=["Comedy", "Drama"])
    for query, names in (
        ("category=anime", ["A"]),
        ("genre=Comedy", ["B"]),
        ("year=1999", ["A"]),
        ("year=1999&genre=Comedy", []),
    ):
        page = (await client.get(f"/api/resources/movies?{query}")).json()
        assert [item["title"] for item in page["items"]] == names


async def test_details_join_titles_characters_and_actors(
    client: httpx.AsyncClient, database: asyncpg.Connection
) -> None:
    movie = await title(database, "The Movie", year=1999)
    later = await title(database, "Later", year=2010)
    actor = await person(database, "actors", "An Actor")
    for film in (movie, later):
        await person(database, "characters", "Hero", 2, title_id=film, actor_id=actor, series="S")
    await person(database, "characters", "Extra", 1, title_id=movie)
    answer = await client.get(f"/api/resources/movies/{movie}")
    assert [c["name"] for c in answer.json()["characters"]] == ["Hero", "Extra"]
    assert answer.json()["characters"][0]["actor_name"] == "An Actor"
    assert (await client.get(f"/api/resources/series/{movie}")).status_code == 404
    hero = answer.json()["characters"][0]["id"]
    character = (await client.get(f"/api/resources/characters/{hero}")).json()
    assert character["title"]["title"] == "The Movie"
    star = (await client.get(f"/api/resources/actors/{actor}")).json()
    assert [(c["title"]["title"], c["characters"]) for c in star["filmography"]] == [
        ("Later", ["Hero"]),
        ("The Movie", ["Hero"]),
    ]


async def test_details_carry_an_etag_that_moves_with_the_row(
    client: httpx.AsyncClient, database: asyncpg.Connection
) -> None:
    movie = await title(database, "The Movie")
    path = f"/api/resources/movies/{movie}"
    first = await client.get(path)
    assert first.headers["cache-control"] == "public, max-age=300"
    tagged = {"If-None-Match": first.headers["etag"]}
    assert (await client.get(path, headers=tagged)).status_code == 304
    await database.execute("UPDATE titles SET overview = 'new' WHERE id = $1", movie)
    assert (await client.get(path, headers=tagged)).json()["overview"] == "new"


@pytest.mark.everybody
async def test_characters_and_actors_can_be_looked_for_by_name(
    client: httpx.AsyncClient, database: asyncpg.Connection
) -> None:
    movie = await title(database, "M")
    await person(database, "characters", "Ann Lee", 1, title_id=movie)
    await person(database, "characters", "Lee Ann", 3)
    await person(database, "characters", "Bob", 2, source="community")
    await person(database, "actors", "Ann")
    await found(client, "q=ann", ["Ann", "Ann Lee", "Lee Ann"])
    page = (await client.get("/api/resources/characters?q=ann&limit=1")).json()
    assert [c["name"] for c in page["items"]] == ["Lee Ann"]
    rest = await client.get(f"/api/resources/characters?q=ann&cursor={page['next_cursor']}")
    assert [c["name"] for c in rest.json()["items"]] == ["Ann Lee"]
    for query, names in (
        (f"title_id={movie}", ["Ann Lee"]),
        ("source=community", ["Bob"]),
        (f"q=ann&title_id={movie}", ["Ann Lee"]),
        ("q=zzzz", []),
    ):
        page = (await client.get(f"/api/resources/characters?{query}")).json()
        assert [c["name"] for c in page["items"]] == names
    actors = (await client.get("/api/resources/actors?q=anm")).json()["items"]
    assert actors == []  # three letters allow no edit
    assert (await client.get("/api/resources/actors?q=ann")).json()["items"][0]["name"] == "Ann"


@pytest.mark.everybody
async def test_popular_gives_the_first_of_a_type(
    client: httpx.AsyncClient, database: asyncpg.Connection
) -> None:
    await title(database, "M", 1, category="anime")
    await title(database, "S", 2, format="series", category="anime")
    await person(database, "characters", "C")
    await person(database, "actors", "A")
    for kind, key, names in (
        ("movie", "title", ["M"]),
        ("anime", "title", ["S", "M"]),
        ("character", "name", ["C"]),
        ("actor", "name", ["A"]),
    ):
        answer = (await client.get(f"/api/resources/popular?type={kind}")).json()
        assert (answer["type"], [item[key] for item in answer["items"]]) == (kind, names)
    assert (await client.get("/api/resources/popular")).json()["type"] == "character"
    missing = await client.get(f"/api/resources/actors/{uuid.uuid4()}")
    assert (missing.status_code, error_code(missing)) == (404, "NOT_FOUND")
