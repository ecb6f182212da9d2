"""Publisher, event and consumer of the first design in miniature, with their faults.

The tests run on it what they run on ours: a check that passes here proves nothing.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import uuid4

import pika
import redis
from pydantic import BaseModel


class FirstType(StrEnum):
    """A closed list as the type on the wire."""

    MEDIA_DELETED = "media.deleted"


class FirstEvent(BaseModel):
    """What was sent: a naive time, a text as user, no version, no trace."""

    event_type: FirstType
    user_id: str
    data: dict[str, Any]
    event_id: str = ""
    timestamp: datetime = datetime.min

    @classmethod
    def new(cls, user_id: Any, data: dict[str, Any] | None = None) -> FirstEvent:
        now = datetime.now(UTC).replace(tzinfo=None)  # what utcnow() gives
        return cls(
            event_type=FirstType.MEDIA_DELETED,
            user_id=user_id,
            data=data or {},
            event_id=str(uuid4()),
            timestamp=now,
        )


class FirstPublisher:
    """One blocking connection; errors are swallowed, nothing is confirmed or mandatory."""

    def __init__(self, url: str, exchange: str) -> None:
        self._url, self.exchange = url, exchange
        self._connect()
        self.channel.exchange_declare(exchange, "topic", auto_delete=True)

    def _connect(self) -> None:
        self.connection = pika.BlockingConnection(pika.URLParameters(self._url))
        self.channel = self.connection.channel()

    def publish(self, event: FirstEvent) -> None:
        with suppress(Exception):
            if self.connection.is_closed:
                self._connect()
            body = event.model_dump_json().encode()
            self.channel.basic_publish(self.exchange, event.event_type.value, body)

    def queue(self) -> str:
        """A queue that hears everything, for looking."""
        name = f"{self.exchange}.{uuid4().hex[:6]}"
        with pika.BlockingConnection(pika.URLParameters(self._url)) as connection:
            channel = connection.channel()
            channel.queue_declare(name, durable=True, arguments={"x-expires": 60_000})
            channel.queue_bind(name, self.exchange, "#")
        return name

    def depth(self, queue: str) -> int:
        with pika.BlockingConnection(pika.URLParameters(self._url)) as connection:
            answer = connection.channel().queue_declare(queue, passive=True)
            return int(answer.method.message_count)

    def close(self) -> None:
        with suppress(Exception):
            self.connection.close()


class FirstConsumer:
    """A thread on a blocking connection: prefetch 1, dedupe in Redis, nack with requeue."""

    def __init__(
        self,
        url: str,
        queue: str,
        handle: Callable[[dict[str, Any]], None],
        cache: redis.Redis | None = None,
    ) -> None:
        self._handle, self._cache, self.runs = handle, cache, 0
        self.connection = pika.BlockingConnection(pika.URLParameters(url))
        self.channel = self.connection.channel()
        self.channel.basic_qos(prefetch_count=1)
        self.channel.basic_consume(queue, self._take)
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        with suppress(Exception):
            self.channel.start_consuming()

    def _take(self, channel: Any, method: Any, _properties: Any, body: bytes) -> None:
        self.runs += 1
        try:
            event = json.loads(body)
            key = f"processed:{event['event_id']}"  # whose? of everybody who shares the cache
            if self._cache is not None and self._cache.exists(key):
                channel.basic_ack(method.delivery_tag)
                return
            self._handle(event)
            if self._cache is not None:
                self._cache.set(key, "1", ex=86_400)
            channel.basic_ack(method.delivery_tag)
        except Exception:
            channel.basic_nack(method.delivery_tag, requeue=True)

    def close(self) -> None:
        with suppress(Exception):
            self.connection.add_callback_threadsafe(self.channel.stop_consuming)
        self.thread.join(5)
        with suppress(Exception):
            self.connection.close()
