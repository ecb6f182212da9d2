"""The service when its tables move: what is read, written, paid and said follows the owner."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import asyncpg
import httpx
import pytest
from pydantic import SecretStr

from services.community.app import build
from tests.integration.community.conftest import MANIFEST, MakeWebSettings
from tests.integration.community.sockets import frame, on_a_port, say, sit
from tests.support.own_placement import Databases, two_databases
from tests.support.people import People
from tests.support.service_roles import service_role

ROOMS, STORIES = "/api/story/rooms", "/api/story/stories"
TABLES = ("fandom_rooms", "room_members", "room_messages")


@pytest.fixture
async def databases(postgres_url: str) -> AsyncIterator[Databases]:
    async with two_databases(postgres_url, MANIFEST, "community") as found:
        yield found


@pytest.fixture
async def shared_as_service(databases: Databases) -> AsyncIterator[str]:
    """The shared database with the rights that the service has in production."""
    async with service_role(databases.shared, MANIFEST, "community") as dsn:
        yield dsn


async def copy(source: asyncpg.Connection, target: asyncpg.Connection) -> None:
    """As the split does, but for tables that nobody writes meanwhile."""
    for table in TABLES:
        rows = await source.fetch(f"SELECT * FROM {table}")
        await target.copy_records_to_table(table, records=[tuple(row) for row in rows])


async def fence(connection: asyncpg.Connection) -> None:
    """What the losing side answers to writes."""
    await connection.execute(
        "CREATE FUNCTION fence() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'moved' USING ERRCODE = 'SP001'; END $$"
    )
    for table in TABLES:
        await connection.execute(
            f"CREATE TRIGGER fence BEFORE INSERT OR UPDATE OR DELETE ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION fence()"
        )


async def test_everything_works_without_a_table_of_others_in_the_same_database(
    databases: Databases, shared_as_service: str, web_settings: MakeWebSettings
) -> None:
    await databases.move()
    shared, own = await asyncpg.connect(databases.shared), await asyncpg.connect(databases.own)
    settings = web_settings(shared_as_service, database_url=SecretStr(databases.own))
    app = build(settings, MANIFEST)
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://community") as client,
    ):
        people = People(client, shared)
        ana, ben = await people.new(), await people.new(name="Ben")
        written = (await ana.post("/api/story/drafts", json={"characters": ["Bob"]})).json()
        assert (written["remaining_quota"], written["author"]["name"]) == (2, "Ana")
        story = f"{STORIES}/{written['id']}"
        assert (await ana.post(f"{story}/publish")).status_code == 200
        assert (await ben.put(f"{story}/like", json={})).json()["like_count"] == 1
        vote = {"target_type": "story", "target_id": written["id"], "value": 1}
        assert (await ben.put("/api/story/votes", json=vote)).json()["score"] == 1
        room = (await ana.post(ROOMS, json={"name": "R"})).json()
        await ben.post(f"{ROOMS}/join", json={"code": room["join_code"]})
        members = (await ben.get(f"{ROOMS}/{room['id']}/members")).json()["items"]
        assert [member["user"]["name"] for member in members] == ["Ana", "Ben"]
        await ana.post("/api/story/scenarios", json={"title": "S", "is_public": True})
        await ana.post("/api/story/characters", json={"name": "C", "publish": True})
        notices = (await ana.get("/api/notifications")).json()
        assert {item["kind"] for item in notices["items"]} == {"story_like", "room_join"}
        await shared.execute("UPDATE users SET deleted_at = now() WHERE id = $1", ben.id)
        seen = (await ana.get(f"{ROOMS}/{room['id']}/members")).json()["items"]
        assert seen[1]["user"] == {"user_id": None, "name": "Deleted user", "avatar_url": None}
    for table in MANIFEST.services["community"].tables:
        assert await shared.fetchval(f"SELECT count(*) FROM {table}") == 0
    states = await shared.fetch("SELECT state FROM quota_reservations")
    assert [row["state"] for row in states] == ["settled"]
    types = [row["type"] for row in await own.fetch("SELECT type FROM outbox ORDER BY id")]
    assert types == [
        "story.created",
        "story.published",
        "story.liked",
        "room.created",
        "room.joined",
        "character.published",
    ]
    await shared.close()
    await own.close()


async def test_a_socket_goes_on_talking_while_the_tables_move(
    databases: Databases, web_settings: MakeWebSettings
) -> None:
    async with AsyncExitStack() as stack:
        shared = await asyncpg.connect(databases.shared)
        stack.push_async_callback(shared.close)
        own = await asyncpg.connect(databases.own)
        stack.push_async_callback(own.close)
        settings = web_settings(databases.shared, database_url=SecretStr(databases.own))
        port = await stack.enter_async_context(on_a_port(build(settings, MANIFEST), settings))
        client = await stack.enter_async_context(
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}")
        )
        ana = await People(client, shared).new()
        room = (await ana.post(ROOMS, json={"name": "R"})).json()["id"]
        async with await sit(port, room, ana) as socket:
            await frame(socket, "ready")
            await say(socket, "before")
            assert (await frame(socket, "message"))["message"]["seq"] == 1
            await copy(shared, own)
            await fence(shared)
            await say(socket, "during")
            moving = asyncio.create_task(databases.move())
            assert (await frame(socket, "message"))["message"]["seq"] == 2
            await moving
            await say(socket, "after")
            assert (await frame(socket, "message"))["message"]["seq"] == 3
        said = await own.fetch("SELECT content FROM room_messages ORDER BY seq")
        assert [row["content"] for row in said] == ["before", "during", "after"]
        assert await shared.fetchval("SELECT count(*) FROM room_messages") == 1
