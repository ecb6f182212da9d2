"""The end of a socket in a room: silence, an account that was deleted, a process that drains."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import asyncpg
import httpx
import pytest
from fastapi import FastAPI

from services.community.app import build
from tests.integration.community.conftest import MANIFEST, MakeWebSettings
from tests.integration.community.sockets import close_code, frame, on_a_port, say, sit
from tests.support.people import People, Person
from tests.support.platform_database import platform_database

ROOMS = "/api/story/rooms"


@dataclass(frozen=True)
class Service:
    """A running service, and a room of Ana in it."""

    app: FastAPI
    port: int
    sql: asyncpg.Connection
    ana: Person
    room: str


@asynccontextmanager
async def service(
    postgres_url: str, web_settings: MakeWebSettings, **changes: object
) -> AsyncIterator[Service]:
    async with AsyncExitStack() as stack:
        dsn = await stack.enter_async_context(platform_database(postgres_url))
        settings = web_settings(dsn, **changes)
        app = build(settings, MANIFEST)
        port = await stack.enter_async_context(on_a_port(app, settings))
        client = await stack.enter_async_context(
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}")
        )
        sql = await asyncpg.connect(dsn)
        stack.push_async_callback(sql.close)
        ana = await People(client, sql).new()
        room = (await ana.post(ROOMS, json={"name": "R"})).json()["id"]
        yield Service(app, port, sql, ana, room)


async def test_a_silent_socket_is_closed_and_a_ping_keeps_it_open(
    postgres_url: str, web_settings: MakeWebSettings
) -> None:
    async with (
        service(postgres_url, web_settings, room_silence_seconds=2.0) as found,
        await sit(found.port, found.room, found.ana) as client,
    ):
        await frame(client, "ready")
        for _ in range(3):
            await client.send(json.dumps({"type": "ping"}))
            await frame(client, "pong")
        assert await close_code(client) == 4408


async def test_a_draining_process_sends_everybody_to_another_one_and_takes_nobody(
    postgres_url: str, web_settings: MakeWebSettings
) -> None:
    async with service(postgres_url, web_settings) as found:
        async with await sit(found.port, found.room, found.ana) as client:
            await frame(client, "ready")
            found.app.state.health.begin_drain()
            assert await close_code(client) == 1012
        async with await sit(found.port, found.room, found.ana) as late:
            assert await close_code(late) == 1012


@pytest.mark.parametrize("gone", ["DELETE FROM room_members", "DELETE FROM fandom_rooms"])
async def test_who_is_no_member_any_more_cannot_speak(
    postgres_url: str, web_settings: MakeWebSettings, gone: str
) -> None:
    async with service(postgres_url, web_settings) as found:
        async with await sit(found.port, found.room, found.ana) as client:
            await frame(client, "ready")
            await found.sql.execute(gone)
            await say(client, "still here?")
            assert await close_code(client) == 4410
        assert await found.sql.fetchval("SELECT count(*) FROM room_messages") == 0


async def test_a_deleted_account_gets_no_socket(
    postgres_url: str, web_settings: MakeWebSettings
) -> None:
    async with service(postgres_url, web_settings) as found:
        await found.sql.execute("UPDATE users SET deleted_at = now()")
        async with await sit(found.port, found.room, found.ana) as client:
            assert await close_code(client) == 4401
