"""Frames between apps: Redis channel `ws:room:<room>`, whose payload is the server frame itself."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import structlog
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

log = structlog.get_logger(__name__)

PREFIX = "ws:room:"
CALL_SECONDS = 1.0  # for one command; rooms do not wait longer for Redis
PAUSE_SECONDS = 0.5  # between two attempts to subscribe
QUIET_SECONDS = 15.0  # after this long without a message the connection is asked whether it lives
_DOWN = (RedisError, OSError, TimeoutError)

Deliver = Callable[[UUID, dict[str, Any], str], None]


class Fanout:
    """One subscription per process, whose reader never gives up."""

    def __init__(self, redis: Redis, deliver: Deliver) -> None:
        """`deliver(room, frame, its text)` is called for every frame of a joined room."""
        self._redis = redis
        self._deliver = deliver
        self._own = f"ws:hub:{uuid.uuid4()}"  # keeps the subscription alive without rooms
        self._joined: dict[str, asyncio.Event] = {}
        self._pubsub: PubSub | None = None

    async def join(self, room_id: UUID) -> None:
        """Hear a room; returns once the server has confirmed it, or after a second without."""
        channel = f"{PREFIX}{room_id}"
        confirmed = self._joined.setdefault(channel, asyncio.Event())
        if confirmed.is_set() or self._pubsub is None:
            return
        try:
            async with asyncio.timeout(CALL_SECONDS):
                await self._pubsub.subscribe(channel)
                await confirmed.wait()
        except _DOWN as error:
            log.warning("room_is_local_for_now", reason=type(error).__name__)

    async def part(self, room_id: UUID) -> None:
        """Stop hearing a room."""
        channel = f"{PREFIX}{room_id}"
        if self._joined.pop(channel, None) is None or self._pubsub is None:
            return
        try:
            async with asyncio.timeout(CALL_SECONDS):
                await self._pubsub.unsubscribe(channel)
        except _DOWN:
            return

    async def publish(self, room_id: UUID, text: str) -> None:
        """To every app; if Redis does not carry it back to us, at least to our own sockets."""
        channel = f"{PREFIX}{room_id}"
        try:
            async with asyncio.timeout(CALL_SECONDS):
                heard = await self._redis.publish(channel, text)
        except _DOWN:
            heard = 0
        confirmed = self._joined.get(channel)
        if heard == 0 or (confirmed is not None and not confirmed.is_set()):
            self._deliver(room_id, json.loads(text), text)

    async def run(self) -> None:
        """Read until cancelled; a lost subscription is made again with every joined room."""
        while True:
            try:
                await self._listen()
            except _DOWN as error:
                log.warning("room_subscription_lost", reason=type(error).__name__)
            self._pubsub = None
            for confirmed in self._joined.values():
                confirmed.clear()
            await asyncio.sleep(PAUSE_SECONDS)

    async def _listen(self) -> None:
        async with self._redis.pubsub() as pubsub:
            await pubsub.subscribe(self._own, *self._joined)
            self._pubsub = pubsub
            is_asked = False
            while True:
                message = await pubsub.get_message(timeout=QUIET_SECONDS)
                if message is not None:
                    is_asked = False
                    self._take(message)
                elif is_asked:
                    raise RedisConnectionError("no answer to a ping")
                else:
                    is_asked = True
                    await pubsub.ping()

    def _take(self, message: dict[str, Any]) -> None:
        channel = (message["channel"] or b"").decode()
        if message["type"] == "subscribe" and channel in self._joined:
            self._joined[channel].set()
        elif message["type"] == "message" and channel.startswith(PREFIX):
            try:
                text = message["data"].decode()
                self._deliver(UUID(channel.removeprefix(PREFIX)), json.loads(text), text)
            except (ValueError, TypeError, KeyError, AttributeError):
                log.warning("room_frame_unreadable", channel=channel)


@asynccontextmanager
async def open_fanout(url: str, deliver: Deliver) -> AsyncIterator[Fanout]:
    """A fan-out with a client of its own: reading a subscription has no time limit."""
    redis: Redis = Redis.from_url(
        url, socket_connect_timeout=CALL_SECONDS, socket_timeout=None, socket_keepalive=True
    )
    fanout = Fanout(redis, deliver)
    reading = asyncio.create_task(fanout.run(), name="room-fanout")
    try:
        yield fanout
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await redis.aclose()
