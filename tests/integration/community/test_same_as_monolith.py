"""The old API and the services of media and community: the same answers, rows and events."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from starlette.types import ASGIApp

from monolith.app import build_app
from monolith.settings import Settings
from services.community.app import build as build_community
from services.media.app import build as build_media
from services.media.settings import MediaSettings
from tests.integration.community.conftest import MANIFEST, PUBLIC_URL, MakeWebSettings
from tests.support.both_sides import ByPrefix, client_of, comparable, written
from tests.support.people import PNG, SECRET, People, Person
from tests.support.platform_database import platform_database

STORIES, DRAFTS, ROOMS = "/api/story/stories", "/api/story/drafts", "/api/story/rooms"
IMAGES, SCENARIOS, VOTES = "/api/images", "/api/story/scenarios", "/api/story/votes"
CHARACTERS, NOTICES = "/api/story/characters", "/api/notifications"
ROWS = (
    "SELECT kind, title, body, data::text, dedupe_key FROM notifications ORDER BY created_at",
    "SELECT kind, purpose, content_type, bytes, width, height, sha256, storage_key, prompt, model"
    " FROM media_metadata ORDER BY created_at",
    "SELECT title, content, universe, characters, scenario, published, like_count FROM stories",
    "SELECT quota_type, allowance, from_bonus, state, subject FROM quota_reservations ORDER BY 1",
    "SELECT quota_type, used, held, tokens_used FROM user_quotas ORDER BY 1",
    "SELECT role, user_id FROM room_members",
    "SELECT name, member_count, max_members, last_seq FROM fandom_rooms",
    "SELECT name, universe, published FROM community_characters ORDER BY created_at",
    "SELECT title, characters, is_public FROM scenarios",
    "SELECT target_type, value FROM community_votes",
)
NOBODY = "00000000-0000-4000-8000-000000000000"
OWN = {"characters": ["A"], "title": "T", "content": "x"}
QUERIES = (
    *("?limit=1", "?limit=0", "?limit=x", "?limit=+1", "?limit=", "?cursor=", "?cursor=zz"),
    *("?cursor=djF8NXwtLQ", "?cursor=djF8NXwwMDAwMDAwMC0wMDAwLTQwMDAtODAwMC0wMDAwMDAwMDAwMDA"),
    *("?mine=true", "?mine=x", "?sort=top", "?sort=x", "?scope=mine", "?scope=public"),
    *("?scope=x", "?unread=1", "?kind=upload", "?kind=x", "?purpose=", "?limit=1&limit=2"),
)
BODIES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    *(("POST", DRAFTS, OWN | change) for change in (
        {"characters": []}, {"characters": ["a"] * 6}, {"characters": [""]}, {"title": None},
        {"universe": "u" * 201}, {"scenario": {"themes": ["a"] * 6}}, {"scenario": {"tone": None}},
        {"content": " "}, {"content": "[[reject]]"}, {"conversation_id": "x"}, {"content": "a\0"},
        {"content": None, "characters": ["[[fail-mid]]"]}, {"content": None, "title": None},
    )),
    *(("POST", ROOMS, {"name": "R"} | change) for change in (
        {"name": ""}, {"name": "n" * 81}, {"settings": {"max_members": 1}}, {"settings": []},
        {"settings": {"max_members": "3"}}, {"settings": {"max_members": 2.5}}, {"settings": None},
        {"settings": {"is_public": "yes", "max_members": True}}, {"description": None},
    )),
    *(("POST", f"{ROOMS}/join", {"code": code}) for code in ("AAAAAAAA", "AAAAAAA1", "", None)),
    *(("POST", SCENARIOS, {"title": "S"} | change) for change in (
        {"title": " "}, {"characters": ["a"] * 11}, {"is_public": "no"}, {"tone": "[[reject]]"},
    )),
    *(("PUT", VOTES, {"target_type": kind, "target_id": target, "value": value})
      for kind, target, value in (
        ("story", NOBODY, 1), ("room", NOBODY, "0"), ("x", NOBODY, 1), ("story", "x", 1),
        ("story", NOBODY, 2), ("scenario", NOBODY, None), ("character", NOBODY, True),
    )),
    *(("POST", CHARACTERS, {"name": "C"} | change) for change in (
        {"name": ""}, {"image_media_id": "x"}, {"publish": None}, {"personality": "p" * 4001},
    )),
    *(("POST", f"{NOTICES}/read", body) for body in (
        {}, {"ids": []}, {"all": False}, {"all": "true"}, {"ids": [NOBODY]}, {"ids": ["x"]},
        {"ids": [NOBODY], "all": False}, {"ids": [NOBODY], "all": True}, {"ids": [NOBODY] * 101},
    )),
    *(("POST", f"{IMAGES}/generate", {"prompt": "x"} | change) for change in (
        {"prompt": " "}, {"prompt": "x" * 2001}, {"size": "1x1"}, {"style": "[[reject]]"},
        {"purpose": "x"}, {"prompt": "[[fail]]"}, {"prompt": "[[timeout]]"}, {"size": None},
    )),
    ("PATCH", f"{STORIES}/{NOBODY}", {"title": "N"}),
    ("PUT", f"{STORIES}/{NOBODY}/like", {}),
    ("DELETE", f"{ROOMS}/{NOBODY}/members/me", {}),
    ("DELETE", f"{ROOMS}/x/members/me", {}),
)  # fmt: skip


@dataclass(frozen=True)
class Sides:
    """Clients of the old API and of both services, which may share a database."""

    old: httpx.AsyncClient
    new: httpx.AsyncClient
    people: People


class Apps:
    """Builds each side on a database."""

    def __init__(self, web_settings: MakeWebSettings, redis_url: str, folder: Path) -> None:
        self._web_settings = web_settings
        self._redis_url = redis_url
        self._folder = folder

    async def old(self, stack: AsyncExitStack, dsn: str) -> ASGIApp:
        settings = Settings(
            database_url=dsn,
            jwt_secrets=(SECRET,),
            redis_url=self._redis_url,
            public_base_url=PUBLIC_URL,
            rate_limits={},
            media_dir=self._folder,
        )
        app = build_app(settings)
        await stack.enter_async_context(app.router.lifespan_context(app))
        return app

    async def new(self, stack: AsyncExitStack, dsn: str) -> ASGIApp:
        values = self._web_settings(dsn)
        media_values = {**dict(values), "media_dir": self._folder}
        media = build_media(MediaSettings.model_validate(media_values), MANIFEST)
        community = build_community(values, MANIFEST)
        for app in (media, community):
            await stack.enter_async_context(app.router.lifespan_context(app))
        return ByPrefix({IMAGES: media, "/": community})


@pytest.fixture
def apps(web_settings: MakeWebSettings, redis_url: str, tmp_path: Path) -> Apps:
    return Apps(web_settings, redis_url, tmp_path / "files")


@pytest.fixture
async def sides(postgres_url: str, apps: Apps) -> AsyncIterator[Sides]:
    """Both sides on one database."""
    async with AsyncExitStack() as stack:
        dsn = await stack.enter_async_context(platform_database(postgres_url))
        old = await stack.enter_async_context(client_of(await apps.old(stack, dsn)))
        new = await stack.enter_async_context(client_of(await apps.new(stack, dsn)))
        sql = await asyncpg.connect(dsn)
        stack.push_async_callback(sql.close)
        yield Sides(old, new, People(old, sql))


async def assert_same(
    sides: Sides, person: Person | None, method: str, path: str, **more: Any
) -> None:
    headers = {**(person.headers if person else {}), **more.pop("headers", {})}
    old = await sides.old.request(method, path, headers=headers, **more)
    new = await sides.new.request(method, path, headers=headers, **more)
    assert comparable(new) == comparable(old), (method, path, more)


async def test_odd_bodies_are_answered_alike(sides: Sides) -> None:
    ana = await sides.people.new(tier=2)
    for method, path, body in BODIES:
        await assert_same(sides, ana, method, path, json=body)


async def test_lists_and_single_things_are_answered_alike(sides: Sides) -> None:
    ana, ben = await sides.people.new(), await sides.people.new(name=None)
    story = (await ana.post(DRAFTS, json=OWN)).json()["id"]
    await ana.post(f"{STORIES}/{story}/publish")
    await ben.put(f"{STORIES}/{story}/like", json={})
    await ana.post(SCENARIOS, json={"title": "S", "is_public": True})
    room = (await ana.post(ROOMS, json={"name": "R", "settings": {"is_public": True}})).json()
    image = await ana.upload()
    for query in QUERIES:
        for path in (STORIES, ROOMS, SCENARIOS, NOTICES, IMAGES):
            await assert_same(sides, ana, "GET", path + query)
    for query in QUERIES[::3]:
        for path in (f"{ROOMS}/{room['id']}/members", f"{ROOMS}/{room['id']}/messages"):
            await assert_same(sides, ana, "GET", path + query)
        await assert_same(sides, None, "GET", STORIES + query)
    for person in (ana, ben, None):
        for identity in (story, room["id"], image["id"], "x", NOBODY, str(uuid.uuid4()).upper()):
            for path in (STORIES, ROOMS, IMAGES):
                await assert_same(sides, person, "GET", f"{path}/{identity}")
            await assert_same(sides, person, "GET", f"{ROOMS}/{identity}/members")


async def test_files_and_their_parts_are_answered_alike(sides: Sides) -> None:
    ana = await sides.people.new(tier=2)
    image = (await ana.upload())["id"]
    for headers in (
        {},
        {"Range": "bytes=0-3"},
        {"Range": "bytes=-5"},
        {"Range": "bytes=999-"},
        {"Range": "bytes=1-2,4-5"},
        {"Range": "bytes=0-3", "If-Range": '"z"'},
        {"If-None-Match": "*"},
    ):
        for method in ("GET", "HEAD"):
            path = f"{IMAGES}/{image}/content"
            await assert_same(sides, None, method, path, headers=headers)
    forms: tuple[dict[str, Any], ...] = (
        {"file": ("x", b"")},
        {"file": ("x", b"GIF89a")},
        {"file": ("x", b"\xff\xd8\xff")},
        {"file": ("x", b"RIFF0000WEBPVP8 ")},
        {"file": (None, "text")},
        {"other": ("x", PNG)},
        {"file": ("x", PNG), "purpose": (None, "x")},
        {"file": ("x", PNG), "question": (None, "[[fail]]")},
        {"file": ("x", PNG), "media_id": (None, image)},
        {"media_id": (None, image)},
        {"media_id": (None, "x")},
        {"question": (None, "why")},
    )
    for form in forms:
        for path in ("upload", "analyze"):
            await assert_same(sides, ana, "POST", f"{IMAGES}/{path}", files=form)


async def life(client: httpx.AsyncClient, sql: asyncpg.Connection) -> list[str]:
    """One story of everything, and what it left in the tables."""
    people = People(client, sql)
    ana, ben = await people.new(tier=1), await people.new()
    for person in (ana, ben):
        person.headers["X-Request-Id"] = "the-request"
    image = (await ana.upload())["id"]
    await ana.post(f"{IMAGES}/generate", json={"prompt": "x", "purpose": "story"})
    await ana.post(f"{IMAGES}/generate", json={"prompt": "[[fail]]"})
    await ana.post(f"{IMAGES}/analyze", files={"file": ("a.png", PNG)})
    await ana.delete(f"{IMAGES}/{image}")
    story = (await ana.post(DRAFTS, json={"characters": ["\u00dc"]})).json()["id"]
    await ana.post(DRAFTS, json=OWN)
    for _ in range(2):
        await ana.post(f"{STORIES}/{story}/publish")
    for liked in (True, True, False):
        await ben.put(f"{STORIES}/{story}/like", json={"liked": liked})
    vote = {"target_type": "story", "target_id": story, "value": -1}
    await ben.put(VOTES, json=vote)
    room = (await ana.post(ROOMS, json={"name": "R"})).json()
    await ben.post(f"{ROOMS}/join", json={"code": room["join_code"]})
    for person in (ana, ana):
        await person.delete(f"{ROOMS}/{room['id']}/members/me")
    for publish in (True, False):
        await ana.post(CHARACTERS, json={"name": "C", "publish": publish})
    await ana.post(SCENARIOS, json={"title": "S", "characters": ["A"]})
    await ana.delete(f"{STORIES}/{story}")
    names = {ana.id: "ana", ben.id: "ben", image: "image", story: "story", room["id"]: "room"}
    return await written(sql, names, *ROWS)


async def test_both_sides_write_the_same_rows_and_events(postgres_url: str, apps: Apps) -> None:
    found: list[list[str]] = []
    for build in (apps.old, apps.new):
        async with AsyncExitStack() as stack:
            dsn = await stack.enter_async_context(platform_database(postgres_url))
            client = await stack.enter_async_context(client_of(await build(stack, dsn)))
            sql = await asyncpg.connect(dsn)
            stack.push_async_callback(sql.close)
            found.append(await life(client, sql))
    assert found[1] == found[0]
    assert len([text for text in found[0] if '"source": "/community"' in text]) == 10
