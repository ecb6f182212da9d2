"""The monolith and the service over one database: every answer must be the same."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from urllib.parse import quote

import httpx
import pytest
import pytest_asyncio

from migrate.seed.catalogue import read_catalogue
from monolith.app import build_app
from monolith.content import DOMAIN
from monolith.settings import settings_from_environment
from tests.integration.content.conftest import SECRET

pytestmark = pytest.mark.asyncio(loop_scope="session")

TYPES = ("", "&type=movie", "&type=series", "&type=anime", "&type=character", "&type=actor")
FIXED = (
    "/api/resources/movies?limit=50",
    "/api/resources/movies?genre=horror&year=1984",
    "/api/resources/series?category=cartoon",
    "/api/resources/characters?limit=100",
    "/api/resources/actors",
    "/api/resources/popular",
    "/api/resources/popular?type=anime&limit=7",
    "/api/resources/popular?type=actor",
    "/api/resources/characters?q=an&limit=100",
    "/api/resources/actors?q=will&limit=100",
    "/api/search?q=%3F%21",
    "/api/search?q=the%20lo&limit=100",
    "/api/search?q=lord%20of",
    "/api/search",
    "/api/search?q=a&limit=0",
    "/api/search?q=a&cursor=zzz",
    "/api/resources/movies/1",
    "/api/resources/movies/00000000-0000-4000-8000-000000000000",
)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def monolith(
    catalogue_dsn: str, redis_url: str, rabbitmq_url: str
) -> AsyncIterator[httpx.AsyncClient]:
    settings = settings_from_environment(
        {
            "DATABASE_URL": catalogue_dsn,
            "REDIS_URL": redis_url,
            "RABBITMQ_URL": rabbitmq_url,
            "JWT_SECRETS": SECRET,
            "RATE_LIMITS": "off",
        }
    )
    app = build_app(settings, [DOMAIN])
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://monolith") as client:
            yield client


def queries(count: int) -> list[str]:
    """Beginnings, words and middles of real names, some with a wrong letter."""
    rnd = random.Random(11)
    catalogue = read_catalogue()
    names = [title.title for title in catalogue.titles]
    names += [character.name for character in catalogue.characters]
    names += [actor.name for actor in catalogue.actors]
    made = []
    for _ in range(count):
        name = rnd.choice(names)
        start = rnd.choice([0, 0, rnd.randrange(len(name))])
        text = name[start : start + rnd.randint(1, 15)].strip() or name
        if rnd.random() < 0.4:
            place = rnd.randrange(len(text))
            text = text[:place] + rnd.choice("aeinrst ") + text[place + 1 :]
        made.append(text.strip() or "a")
    return made


def comparable(answer: httpx.Response) -> tuple[object, ...]:
    body = answer.json()
    if "error" in body:
        fields = body["error"]["details"].get("fields", [])
        return answer.status_code, body["error"]["code"], [field["path"] for field in fields]
    names = ("cache-control", "etag", "content-type")
    return answer.status_code, body, [answer.headers.get(name) for name in names]


async def assert_same(
    monolith: httpx.AsyncClient, client: httpx.AsyncClient, path: str
) -> httpx.Response:
    old, new = await monolith.get(path), await client.get(path)
    assert comparable(new) == comparable(old), path
    return new


@pytest.mark.parametrize("path", FIXED)
async def test_both_give_the_same_answer(
    monolith: httpx.AsyncClient, client: httpx.AsyncClient, path: str
) -> None:
    await assert_same(monolith, client, path)


async def test_both_find_the_same_for_any_query(
    monolith: httpx.AsyncClient, client: httpx.AsyncClient
) -> None:
    rnd = random.Random(5)
    for query in queries(150):
        type_ = rnd.choice(TYPES)
        limit = rnd.choice([1, 20, 100])
        await assert_same(monolith, client, f"/api/search?q={quote(query)}{type_}&limit={limit}")
        await assert_same(monolith, client, f"/api/autocomplete?q={quote(query)}{type_}")


async def test_both_give_the_same_details(
    monolith: httpx.AsyncClient, client: httpx.AsyncClient
) -> None:
    rnd = random.Random(6)
    catalogue = read_catalogue()
    paths = [
        f"/api/resources/{'movies' if t.format == 'movie' else 'series'}/{t.id}"
        for t in rnd.sample(catalogue.titles, 20)
    ]
    paths += [f"/api/resources/characters/{c.id}" for c in rnd.sample(catalogue.characters, 10)]
    paths += [f"/api/resources/actors/{a.id}" for a in rnd.sample(catalogue.actors, 20)]
    for path in paths:
        await assert_same(monolith, client, path)


@pytest.mark.parametrize(
    "path",
    [
        "/api/search?q=an",
        "/api/resources/movies?category=live_action",
        "/api/resources/characters?q=an",
        "/api/resources/actors?limit=33",
    ],
)
async def test_a_cursor_of_one_works_in_the_other(
    monolith: httpx.AsyncClient, client: httpx.AsyncClient, path: str
) -> None:
    apps = [monolith, client]
    for step in range(4):
        page = (await apps[step % 2].get(path)).json()
        separator = "&cursor=" if step == 0 else "cursor="
        base = path.split("cursor=")[0]
        path = f"{base}{separator}{page['next_cursor']}"
        await assert_same(monolith, client, path)
