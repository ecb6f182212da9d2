"""What only the old API has: tables that have moved away from it, domains elsewhere, its shutdown."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import asyncpg
import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from monolith.chat.running import RunningReplies
from monolith.settings import Settings
from tests.integration.monolith.conftest import running
from tests.integration.monolith.server import port_of, served
from tests.support.people import People, error_code

ME = "/api/auth/users/me"
STREAM = "/api/chat/talk_with/stream"


async def test_domains_served_elsewhere_are_asked_for_their_health(settings: Settings) -> None:
    elsewhere = replace(settings, domain_health_urls={"chat": "http://127.0.0.1:1"})
    async with running(elsewhere) as (_, client):
        status = (await client.get("/api/status")).json()
        assert status["domains"]["chat"] == "down"
        assert status["domains"]["auth"] == "ok"
        assert status["status"] == "down"


@pytest.mark.parametrize("table", ["titles", "actors"])
async def test_a_table_that_has_moved_away_is_unavailable_not_an_error(
    client: httpx.AsyncClient, database: asyncpg.Connection, table: str
) -> None:
    await database.execute(f"ALTER TABLE {table} RENAME TO {table}_moved")
    path = {"titles": "/api/resources/movies", "actors": "/api/resources/actors"}[table]
    answer = await client.get(path)
    await database.execute(f"ALTER TABLE {table}_moved RENAME TO {table}")
    assert (answer.status_code, error_code(answer)) == (503, "UNAVAILABLE")


async def test_a_write_to_a_fenced_table_is_unavailable_for_a_second(
    people: People, database: asyncpg.Connection
) -> None:
    await database.execute(
        "CREATE FUNCTION fence() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'table is fenced' USING ERRCODE = 'SP001'; END $$;"
        "CREATE TRIGGER fence BEFORE INSERT OR UPDATE OR DELETE ON fandom_rooms"
        " FOR EACH STATEMENT EXECUTE FUNCTION fence();"
    )
    ana = await people.new()
    answer = await ana.post(
        "/api/story/rooms", json={"name": "x"}, headers={"Idempotency-Key": "k"}
    )
    await database.execute("DROP FUNCTION fence() CASCADE")
    assert (answer.status_code, error_code(answer)) == (503, "UNAVAILABLE")
    assert answer.headers["retry-after"] == "1"
    again = await ana.post("/api/story/rooms", json={"name": "x"}, headers={"Idempotency-Key": "k"})
    assert again.status_code == 201


async def test_connections_say_who_they_are(people: People, database: asyncpg.Connection) -> None:
    await (await people.new()).get(ME)
    names = await database.fetch(
        "SELECT DISTINCT application_name FROM pg_stat_activity WHERE datname = current_database()"
    )
    assert "monolith/web" in {row["application_name"] for row in names}


async def drain(socket: ClientConnection) -> None:
    """Read until the socket closes."""
    async with asyncio.timeout(10):
        while True:
            await socket.recv()


async def test_a_room_that_has_moved_away_asks_its_sockets_to_reconnect(
    settings: Settings, database: asyncpg.Connection
) -> None:
    async with served(settings) as (server, client):
        ana = await People(client, database).new()
        room = (await ana.post("/api/story/rooms", json={"name": "R"})).json()["id"]
        url = f"ws://127.0.0.1:{port_of(server)}/api/story/rooms/{room}/ws"
        async with connect(url, additional_headers=ana.headers) as socket:
            assert json.loads(await socket.recv())["type"] == "ready"
            await database.execute(
                "CREATE FUNCTION fence() RETURNS trigger LANGUAGE plpgsql AS"
                " $$ BEGIN RAISE EXCEPTION 'moved' USING ERRCODE = 'SP001'; END $$;"
                "CREATE TRIGGER fence BEFORE INSERT OR UPDATE ON room_messages"
                " FOR EACH STATEMENT EXECUTE FUNCTION fence();"
            )
            await socket.send(json.dumps({"type": "message", "content": "x"}))
            with pytest.raises(ConnectionClosed) as closed:
                await drain(socket)
        await database.execute("DROP FUNCTION fence() CASCADE")
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1012


async def test_a_process_that_ends_stores_what_was_said_and_says_so(
    settings: Settings, database: asyncpg.Connection
) -> None:
    async with served(settings) as (server, client):
        ana = await People(client, database).new()
        replies = server.context.part(RunningReplies)
        body = {"message": "[[slow]] x", "character": "A"}
        task = asyncio.create_task(ana.post(STREAM, json=body))
        async with asyncio.timeout(10):
            while not replies.count:
                await asyncio.sleep(0.01)
        replies.end_all()  # what happens 50 s after SIGTERM
        blocks = (await task).text.strip().split("\n\n")
    assert [block.split("\n")[1] for block in blocks] == ["event: start", "event: error"]
    assert json.loads(blocks[-1].split("\n")[2][6:])["code"] == "UNAVAILABLE"
    quota = await database.fetchval("SELECT state FROM quota_reservations")
    assert quota == "refunded"
