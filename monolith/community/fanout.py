"""Frames between the apps: Redis channel `ws:room:<id>`, whose payload is the server frame itself."""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from collections.abc import Callable
from typing import Any
from uuid import UUID

import redis.asyncio
from redis.exceptions import RedisError

log = logging.getLogger("monolith.community.fanout")
CONFIRM_SECONDS = 1.0
PAUSE_SECONDS = 0.5
PREFIX = "ws:room:"
Deliver = Callable[[UUID, dict[str, Any]], None]


class Fanout:
    """One subscription connection per process, whose reader never gives up."""

    def __init__(self, url: str | None, deliver: Deliver) -> None:
        self._deliver = deliver
        self._own = f"ws:hub:{uuid.uuid4()}"  # keeps the subscription alive without rooms
        self._wanted: dict[str, asyncio.Event] = {}
        self._client: redis.asyncio.Redis | None = None
        self._pubsub: Any = None
        self._reader: asyncio.Task[None] | None = None
        self._url = url

    async def open(self) -> None:
        if self._url is not None:
            self._client = redis.asyncio.Redis.from_url(self._url, socket_connect_timeout=1.0)
            self._reader = asyncio.create_task(self._read())

    async def close(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()

    async def join(self, room_id: UUID) -> None:
        """Hear a room; returns once the server has confirmed it, or after a second without."""
        channel = f"{PREFIX}{room_id}"
        confirmed = self._wanted.setdefault(channel, asyncio.Event())
        if confirmed.is_set() or self._pubsub is None:
            return
        try:
            async with asyncio.timeout(CONFIRM_SECONDS):
                await self._pubsub.subscribe(channel)
                await confirmed.wait()
        except (RedisError, OSError, TimeoutError):
            log.warning("rooms are local for now: Redis does not answer")

    async def part(self, room_id: UUID) -> None:
        channel = f"{PREFIX}{room_id}"
        if self._wanted.pop(channel, None) is None or self._pubsub is None:
            return
        try:
            async with asyncio.timeout(CONFIRM_SECONDS):
                await self._pubsub.unsubscribe(channel)
        except (RedisError, OSError, TimeoutError):
            return

    async def publish(self, room_id: UUID, frame: dict[str, Any]) -> None:
        """To every app; if Redis cannot carry it, at least to the sockets of this one."""
        channel = f"{PREFIX}{room_id}"
        heard = 0
        if self._client is not None:
            try:
                async with asyncio.timeout(CONFIRM_SECONDS):
                    heard = await self._client.publish(channel, json.dumps(frame))
            except (RedisError, OSError, TimeoutError):
                heard = 0
        confirmed = self._wanted.get(channel)
        if heard == 0 or (confirmed is not None and not confirmed.is_set()):
            self._deliver(room_id, frame)

    async def _read(self) -> None:
        while True:
            try:
                await self._listen()
            except (RedisError, OSError, TimeoutError) as error:
                log.warning("subscription lost: %s", type(error).__name__)
            for confirmed in self._wanted.values():
                confirmed.clear()
            self._pubsub = None
            await asyncio.sleep(PAUSE_SECONDS)

    async def _listen(self) -> None:
        if self._client is None:
            return
        async with self._client.pubsub() as pubsub:
            await pubsub.subscribe(self._own, *self._wanted)
            self._pubsub = pubsub
            async for message in pubsub.listen():
                self._take(message["type"], message["channel"].decode(), message["data"])

    def _take(self, kind: str, channel: str, data: Any) -> None:
        if kind == "subscribe" and channel in self._wanted:
            self._wanted[channel].set()
        elif kind == "message" and channel.startswith(PREFIX):
            try:
                frame = json.loads(data)
                self._deliver(UUID(channel.removeprefix(PREFIX)), frame)
            except (ValueError, TypeError, KeyError):
                log.warning("unreadable frame on %s", channel)
