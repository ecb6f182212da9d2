"""Takes messages from our queue: commit, then acknowledge; failures wait and come back."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from monolith.events.declare import declare
from monolith.events.dispatch import Dispatcher
from monolith.events.envelope import UnreadableError, read_body
from monolith.events.link import Link, LinkLostError, open_link
from monolith.events.publisher import Outgoing, Publisher
from monolith.events.topology import ATTEMPT, REASON, WAIT_SECONDS, Names

log = logging.getLogger("monolith.consumer")
HANDLERS = 4
PREFETCH = 2 * HANDLERS
PAUSE_SECONDS = 1.0


async def run_consumer(
    dispatcher: Dispatcher, url: str, names: Names, declared: asyncio.Event
) -> None:
    """For ever: declare, consume, connect again."""
    while True:
        try:
            await declare(url, names, dispatcher.types())
            declared.set()
            await _consume(dispatcher, url, names)
        except LinkLostError as error:
            log.warning("consumer waits for the broker: %s", error)
        await asyncio.sleep(PAUSE_SECONDS)


async def _consume(dispatcher: Dispatcher, url: str, names: Names) -> None:
    """Until the link is lost; what was not acknowledged comes again."""
    link, back = await open_link(url, "monolith/consumer"), None
    tasks: list[asyncio.Task[None]] = []
    try:
        back = await open_link(url, "monolith/retries")
        publisher = Publisher(back)
        await publisher.start()
        waiting: asyncio.Queue[Any] = asyncio.Queue()
        await link.ask(link.channel.basic_qos, prefetch_count=PREFETCH)
        link.channel.add_on_cancel_callback(lambda _frame: link.channel.close())
        link.channel.basic_consume(
            names.queue, lambda *delivery: waiting.put_nowait(delivery), auto_ack=False
        )
        worker = _Worker(dispatcher, link, publisher, names, waiting)
        tasks = [asyncio.create_task(worker.run()) for _ in range(HANDLERS)]
        await asyncio.wait({link.lost, back.lost, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for each in (link, back):
            if each is not None:
                await each.close()


class _Worker:
    """Handles one message at a time; several run side by side."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        link: Link,
        publisher: Publisher,
        names: Names,
        waiting: asyncio.Queue[Any],
    ) -> None:
        self._dispatcher = dispatcher
        self._link = link
        self._publisher = publisher
        self._names = names
        self._waiting = waiting

    async def run(self) -> None:
        while True:
            _channel, method, properties, body = await self._waiting.get()
            headers = dict(properties.headers or {})
            try:
                await self._dispatcher.apply(read_body(body))
            except UnreadableError as error:
                await self._send(
                    self._names.dead, properties, body, {**headers, REASON: error.reason}
                )
            except Exception:
                log.exception("event not handled", extra={"event": properties.message_id})
                await self._again(properties, body, headers)
            if not self._link.lost.done():
                self._link.channel.basic_ack(method.delivery_tag)

    async def _again(self, properties: Any, body: bytes, headers: dict[str, Any]) -> None:
        """After 5 s, 30 s, 5 min, 1 h; then the message is parked until somebody looks."""
        attempt = headers.get(ATTEMPT)
        failed = (attempt if isinstance(attempt, int) else 0) + 1
        headers[ATTEMPT] = failed
        if failed <= len(WAIT_SECONDS):
            queue = self._names.wait(WAIT_SECONDS[failed - 1])
        else:
            queue, headers[REASON] = self._names.dead, "failed"
        await self._send(queue, properties, body, headers)

    async def _send(
        self, queue: str, properties: Any, body: bytes, headers: dict[str, Any]
    ) -> None:
        own = {name: value for name, value in headers.items() if not name.startswith("x-")}
        message = Outgoing("", queue, body, properties.message_id or "", properties.type or "", own)
        outcomes = await self._publisher.publish([message])
        if outcomes != ["confirmed"]:
            raise LinkLostError(f"{queue} did not take a message: {outcomes[0]}")
