"""The WebSocket of rooms: handshake, frames, fan-out between apps, being sent away."""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import Any

import asyncpg
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests.contracts.api.conftest import MODES_SECONDS, SetMode
from tests.contracts.api.sides import Running, Side
from tests.support.people import People, Person

pytestmark = pytest.mark.asyncio(loop_scope="session")
SIDES = ("monolith", "services", "router")

WAIT_SECONDS = 10


class Room:
    """A room on a running app, and its sockets."""

    def __init__(self, running: Running, people: People) -> None:
        self.running = running
        self.people = people
        self.id = ""
        self.code = ""

    async def create(self, owner: Person) -> None:
        room = (await owner.post("/api/story/rooms", json={"name": "R"})).json()
        self.id, self.code = room["id"], room["join_code"]

    async def member(self) -> Person:
        person = await self.people.new()
        await person.post("/api/story/rooms/join", json={"code": self.code})
        return person

    def url(self, room: str | None = None, running: Running | None = None) -> str:
        port = (running or self.running).port
        return f"ws://127.0.0.1:{port}/api/story/rooms/{room or self.id}/ws"

    async def socket(self, person: Person, running: Running | None = None) -> ClientConnection:
        return await connect(self.url(running=running), additional_headers=person.headers)


async def frame(socket: ClientConnection, kind: str | None = None) -> dict[str, Any]:
    """The next frame, or the next one of a kind."""
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            found: dict[str, Any] = json.loads(await socket.recv())
            if kind is None or found["type"] == kind:
                return found


async def say(socket: ClientConnection, **values: Any) -> None:
    await socket.send(json.dumps(values))


async def close_code(socket: ClientConnection) -> int:
    async with asyncio.timeout(WAIT_SECONDS):
        try:
            while True:
                await socket.recv()
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else 1006


@pytest.fixture
def room(running: Running, people: People) -> Room:
    return Room(running, people)


async def test_a_member_is_greeted_with_the_room_and_its_last_messages(room: Room) -> None:
    ana = await room.people.new()
    await room.create(ana)
    async with await room.socket(ana) as socket:
        ready = await frame(socket)
        assert (ready["type"], ready["online"], ready["recent"]) == ("ready", [ana.id], [])
        assert (ready["room"]["id"], ready["room"]["is_member"]) == (room.id, True)
        for number in range(3):
            await say(socket, type="message", content=f" m{number} ", client_id=f"c{number}")
            told = await frame(socket, "message")
            assert (told["message"]["seq"], told["message"]["content"]) == (
                number + 1,
                f"m{number}",
            )
            assert told["client_id"] == f"c{number}"
            assert told["message"]["author"]["user_id"] == ana.id
        await say(socket, type="ping")
        assert await frame(socket) == {"type": "pong"}
    async with await room.socket(ana) as again:
        recent = (await frame(again))["recent"]
        assert [m["content"] for m in recent] == ["m0", "m1", "m2"]
    page = (await ana.get(f"/api/story/rooms/{room.id}/messages?limit=2")).json()
    assert [m["seq"] for m in page["items"]] == [3, 2]
    rest = await ana.get(f"/api/story/rooms/{room.id}/messages?cursor={page['next_cursor']}")
    assert [m["seq"] for m in rest.json()["items"]] == [1]


async def test_members_on_different_apps_hear_each_other(room: Room, side: Side) -> None:
    ana = await room.people.new()
    await room.create(ana)
    ben = await room.member()
    async with side.running() as other, await room.socket(ana) as first:
        assert (await frame(first))["type"] == "ready"  # whoever is accepted need not sit yet
        async with await room.socket(ben, other) as second:
            assert (await frame(second))["online"] == sorted([ana.id, ben.id])
            came = await frame(first, "presence")
            assert (came["user_id"], came["status"]) == (ben.id, "online")
            await say(first, type="message", content="hello")
            for socket in (first, second):
                assert (await frame(socket, "message"))["message"]["content"] == "hello"
            await say(second, type="typing")
            assert await frame(first, "typing") == {"type": "typing", "user_id": ben.id}
            await second.close()
            left = await frame(first, "presence")
            assert (left["user_id"], left["status"]) == (ben.id, "offline")


async def test_a_token_may_come_as_a_subprotocol(room: Room) -> None:
    ana = await room.people.new()
    await room.create(ana)
    token = ana.headers["Authorization"].removeprefix("Bearer ")
    offered = [Subprotocol("scenextras.v1"), Subprotocol(f"bearer.{token}")]
    async with connect(room.url(), subprotocols=offered) as socket:
        assert socket.subprotocol == "scenextras.v1"
        assert (await frame(socket))["type"] == "ready"
        assert socket.response is not None
        assert "server" not in socket.response.headers


async def test_refusals_are_close_codes_after_the_handshake(room: Room) -> None:
    ana, ben = await room.people.new(), await room.people.new()
    await room.create(ana)
    for person, target, code in (
        (None, room.id, 4401),
        (ana, str(uuid.uuid4()), 4404),
        (ana, "nonsense", 4404),
        (ben, room.id, 4403),
    ):
        headers = person.headers if person else {"Authorization": "Bearer nonsense"}
        async with connect(room.url(target), additional_headers=headers) as socket:
            assert await close_code(socket) == code
    sockets = [await room.socket(ana) for _ in range(5)]
    for socket in sockets:
        assert (await frame(socket))["type"] == "ready"
    async with await room.socket(ana) as sixth:
        assert await close_code(sixth) == 4429
    for socket in sockets:
        await socket.close()


async def test_frames_that_are_no_json_text_close_the_socket(room: Room) -> None:
    ana = await room.people.new()
    await room.create(ana)
    for data, code in ((b"bytes", 1003), ("{", 1003), ('"' + "x" * 17000 + '"', 1009)):
        async with await room.socket(ana) as socket:
            await frame(socket, "ready")
            await socket.send(data)
            assert await close_code(socket) == code


async def test_wrong_frames_are_errors_and_the_socket_stays_open(room: Room) -> None:
    ana = await room.people.new()
    await room.create(ana)
    async with await room.socket(ana) as socket:
        await frame(socket, "ready")
        for wrong in ({"type": "dance"}, {}, {"type": "message", "content": "x" * 2001}):
            await socket.send(json.dumps(wrong))
            assert (await frame(socket))["code"] == "VALIDATION_ERROR"
        await say(socket, type="ping")
        assert await frame(socket) == {"type": "pong"}


async def test_more_than_thirty_messages_a_minute_are_refused(room: Room) -> None:
    ana = await room.people.new()
    await room.create(ana)
    async with await room.socket(ana) as socket:
        await frame(socket, "ready")
        for _ in range(61):  # a window may end in between
            await say(socket, type="message", content="x")
        answers = [await frame(socket) for _ in range(61)]
        codes = {a.get("code") for a in answers if a["type"] == "error"}
        assert codes == {"RATE_LIMITED"}
        await say(socket, type="ping")
        assert await frame(socket) == {"type": "pong"}


async def test_whoever_leaves_a_room_is_sent_away(room: Room) -> None:
    ana = await room.people.new()
    await room.create(ana)
    ben = await room.member()
    async with await room.socket(ben) as socket:
        await frame(socket, "ready")
        await ben.delete(f"/api/story/rooms/{room.id}/members/me")
        assert await close_code(socket) == 4410


async def test_maintenance_and_restarts_send_everybody_away(
    side: Side, database: asyncpg.Connection, maintenance: SetMode
) -> None:
    async with side.running() as apps:
        room = Room(apps, People(apps.client, database))
        await _send_away(room, maintenance)


async def _send_away(room: Room, maintenance: SetMode) -> None:
    ana = await room.people.new()
    await room.create(ana)
    async with await room.socket(ana) as socket:
        await frame(socket, "ready")
        await maintenance("community", "full")
        assert await close_code(socket) == 1013
    async with await room.socket(ana) as late:
        assert await close_code(late) == 1013
    await maintenance("community", "off")
    await asyncio.sleep(MODES_SECONDS)
    async with await room.socket(ana) as socket:
        await frame(socket, "ready")
        room.running.stop()
        assert await close_code(socket) == 1012


async def test_without_redis_a_room_works_within_one_app(
    side: Side, database: asyncpg.Connection
) -> None:
    async with side.running(redis_url="redis://127.0.0.1:1/0", is_cut_off=True) as apps:
        room = Room(apps, People(apps.client, database))
        ana = await room.people.new()
        await room.create(ana)
        ben = await room.member()
        async with await room.socket(ana) as first:
            await frame(first, "ready")
            async with await room.socket(ben) as second:
                assert (await frame(second, "ready"))["online"] == sorted([ana.id, ben.id])
                await say(second, type="message", content="hello")
                assert (await frame(first, "message"))["message"]["content"] == "hello"
