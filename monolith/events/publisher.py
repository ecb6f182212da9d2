"""Publishing with confirms: a message counts as sent once the broker has it and routed it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pika

from monolith.events.link import Link, LinkLostError

CONFIRM_SECONDS = 10.0
PERSISTENT = 2
Outcome = Literal["confirmed", "returned", "rejected"]


@dataclass(frozen=True, slots=True)
class Outgoing:
    exchange: str
    key: str
    body: bytes
    message_id: str
    type: str
    headers: Mapping[str, Any] = field(default_factory=dict)


class Publisher:
    """One confirmed channel; any number of messages may be under way."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._sequence = 0
        self._waiting: dict[int, tuple[str, asyncio.Future[Outcome]]] = {}
        self._returned: set[str] = set()

    async def start(self) -> None:
        channel = self._link.channel
        channel.add_on_return_callback(self._on_return)
        await self._link.ask(channel.confirm_delivery, ack_nack_callback=self._on_answer)

    def _on_return(self, _channel: Any, _method: Any, properties: Any, _body: bytes) -> None:
        self._returned.add(properties.message_id)  # its ack follows

    def _on_answer(self, frame: Any) -> None:
        tag, good = frame.method.delivery_tag, isinstance(frame.method, pika.spec.Basic.Ack)
        tags = [t for t in self._waiting if t <= tag] if frame.method.multiple else [tag]
        for each in tags:
            message_id, future = self._waiting.pop(each, ("", None))
            if future is None or future.done():
                continue
            returned = message_id in self._returned
            self._returned.discard(message_id)
            future.set_result(
                "returned" if good and returned else "confirmed" if good else "rejected"
            )

    async def publish(self, messages: list[Outgoing]) -> list[Outcome]:
        """Send all and wait for all answers; LinkLostError if any is unknown after 10 s."""
        if self._link.lost.done() or self._link.blocked:
            raise LinkLostError("the broker takes nothing now")
        futures = [self._send(message) for message in messages]
        everything = asyncio.gather(*futures)
        ends: list[asyncio.Future[Any]] = [everything, self._link.lost]
        await asyncio.wait(
            ends,
            timeout=CONFIRM_SECONDS,
            return_when=asyncio.FIRST_COMPLETED,
        )
        if not everything.done():
            everything.cancel()
            await asyncio.gather(everything, return_exceptions=True)
            raise LinkLostError("not confirmed in time")
        return list(everything.result())

    def _send(self, message: Outgoing) -> asyncio.Future[Outcome]:
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        properties = pika.BasicProperties(
            message_id=message.message_id,
            type=message.type,
            content_type="application/json",
            delivery_mode=PERSISTENT,
            headers=dict(message.headers),
        )
        self._sequence += 1
        self._waiting[self._sequence] = (message.message_id, future)
        try:
            self._link.channel.basic_publish(
                message.exchange, message.key, message.body, properties, mandatory=True
            )
        except pika.exceptions.AMQPError as error:
            raise LinkLostError(str(error)) from error
        return future
