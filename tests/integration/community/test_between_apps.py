"""One room with one client on the old API and one on the service: they are one room."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import asyncpg
import httpx
import pytest

from monolith.settings import Settings
from services.community.app import build
from tests.integration.community.conftest import MANIFEST, PUBLIC_URL, MakeWebSettings
from tests.integration.community.sockets import close_code, frame, on_a_port, say, sit
from tests.integration.monolith.server import port_of, served
from tests.support.people import SECRET, People, Person
from tests.support.platform_database import platform_database

ROOMS = "/api/story/rooms"


@dataclass(frozen=True)
class BothApps:
    """Ports of both apps, over one database and one Redis."""

    monolith: int
    service: int
    people: People

    def ports(self, first: str) -> tuple[int, int]:
        """The port of the app named, then that of the other one."""
        pair = (self.monolith, self.service)
        return pair if first == "monolith" else (pair[1], pair[0])

    async def room(self, *others: Person) -> tuple[str, Person]:
        """A room of a new person, that the others have joined."""
        owner = await self.people.new()
        room = (await owner.post(ROOMS, json={"name": "R"})).json()
        for person in others:
            await person.post(f"{ROOMS}/join", json={"code": room["join_code"]})
        return room["id"], owner

    async def ask(self, port: int, method: str, path: str, person: Person) -> httpx.Response:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            return await client.request(method, path, headers=person.headers)


@pytest.fixture
async def apps(
    postgres_url: str, redis_url: str, web_settings: MakeWebSettings
) -> AsyncIterator[BothApps]:
    async with AsyncExitStack() as stack:
        dsn = await stack.enter_async_context(platform_database(postgres_url))
        old = Settings(
            database_url=dsn,
            jwt_secrets=(SECRET,),
            redis_url=redis_url,
            public_base_url=PUBLIC_URL,
            rate_limits={},
        )
        server, client = await stack.enter_async_context(served(old))
        settings = web_settings(dsn)
        service = await stack.enter_async_context(on_a_port(build(settings, MANIFEST), settings))
        sql = await asyncpg.connect(dsn)
        stack.push_async_callback(sql.close)
        yield BothApps(port_of(server), service, People(client, sql))


def without(found: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in found.items() if name not in names}


@pytest.mark.parametrize("first", ["monolith", "service"])
async def test_two_people_on_two_apps_hear_each_other(apps: BothApps, first: str) -> None:
    here, there = apps.ports(first)
    ben = await apps.people.new(name="Ben")
    room, ana = await apps.room(ben)
    async with await sit(here, room, ana) as one:
        assert (await frame(one, "ready"))["online"] == [ana.id]
        async with await sit(there, room, ben) as two:
            assert (await frame(two, "ready"))["online"] == sorted([ana.id, ben.id])
            assert without(await frame(one, "presence"), "type") == {
                "user_id": ben.id,
                "status": "online",
            }
            for number, (speaker, person) in enumerate(((one, ana), (two, ben)), start=1):
                await say(speaker, f"m{number}", client_id=f"c{number}")
                heard = [await frame(listener, "message") for listener in (one, two)]
                assert heard[0] == heard[1]
                assert (heard[0]["message"]["seq"], heard[0]["client_id"]) == (
                    number,
                    f"c{number}",
                )
                assert heard[0]["message"]["author"]["user_id"] == person.id
            for speaker, listener, person in ((one, two, ana), (two, one, ben)):
                await speaker.send(json.dumps({"type": "typing"}))
                assert await frame(listener, "typing") == {"type": "typing", "user_id": person.id}
        assert without(await frame(one, "presence"), "type") == {
            "user_id": ben.id,
            "status": "offline",
        }


@pytest.mark.parametrize("first", ["monolith", "service"])
async def test_both_apps_greet_with_the_same_room_and_messages(apps: BothApps, first: str) -> None:
    here, there = apps.ports(first)
    room, ana = await apps.room()
    async with await sit(here, room, ana) as one:
        before = await frame(one, "ready")
        await say(one, "hello \u00fc")
        await frame(one, "message")
        async with await sit(there, room, ana) as two:
            after = await frame(two, "ready")
    assert without(after["room"], "updated_at") == without(before["room"], "updated_at")
    assert [message["content"] for message in after["recent"]] == ["hello \u00fc"]
    answers = [await apps.ask(p, "GET", f"{ROOMS}/{room}/messages", ana) for p in (here, there)]
    assert answers[0].json() == answers[1].json()
    assert answers[0].json()["items"] == after["recent"]


@pytest.mark.parametrize("first", ["monolith", "service"])
async def test_who_leaves_at_one_app_is_sent_away_by_the_other(apps: BothApps, first: str) -> None:
    here, there = apps.ports(first)
    ben = await apps.people.new()
    room, _ = await apps.room(ben)
    async with await sit(here, room, ben) as one:
        await frame(one, "ready")
        left = await apps.ask(there, "DELETE", f"{ROOMS}/{room}/members/me", ben)
        assert left.status_code == 204
        assert await close_code(one) == 4410


async def test_the_five_sockets_of_a_user_are_counted_over_both_apps(apps: BothApps) -> None:
    room, ana = await apps.room()
    ports = [apps.monolith, apps.service, apps.monolith, apps.service, apps.monolith]
    sockets = [await sit(port, room, ana) for port in ports]
    for one in sockets:
        await frame(one, "ready")
    for port in (apps.service, apps.monolith):
        async with await sit(port, room, ana) as sixth:
            assert await close_code(sixth) == 4429
    for one in sockets:
        await one.close()


async def test_messages_of_a_minute_are_counted_over_both_apps(apps: BothApps) -> None:
    room, ana = await apps.room()
    async with (
        await sit(apps.monolith, room, ana) as one,
        await sit(apps.service, room, ana) as two,
    ):
        for number in range(70):  # enough for one of two minutes, should a new one begin
            await say(one if number % 2 else two, f"m{number}")
        for client in (one, two):
            assert (await frame(client, "error"))["code"] == "RATE_LIMITED"
