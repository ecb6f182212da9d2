"""Moves committed outbox rows on: to the broker, or straight to the handlers where there is none."""

from __future__ import annotations

import asyncio
import json
import logging

from monolith.context import Context
from monolith.database import FAILURES
from monolith.events import outbox
from monolith.events.dispatch import Dispatcher
from monolith.events.envelope import UnreadableError, read_envelope
from monolith.events.link import LinkLostError, open_link
from monolith.events.publisher import Outgoing, Publisher

log = logging.getLogger("monolith.relay")
POLL_SECONDS = 0.1
PAUSE_SECONDS = 1.0


async def run_relay(context: Context, url: str, exchange: str, declared: asyncio.Event) -> None:
    """For ever: connect, relay, connect again; begins once the exchange is there."""
    await declared.wait()
    while True:
        try:
            link = await open_link(url, "monolith/relay")
            try:
                publisher = Publisher(link)
                await publisher.start()
                while True:
                    if not await relay_batch(context, publisher, exchange):
                        await asyncio.sleep(POLL_SECONDS)
            finally:
                await link.close()
        except LinkLostError as error:
            log.warning("relay waits for the broker: %s", error)
        except FAILURES as error:
            log.warning("relay waits for the database: %s", type(error).__name__)
        await asyncio.sleep(PAUSE_SECONDS)


async def relay_batch(context: Context, publisher: Publisher, exchange: str) -> int:
    """Publish what is due and mark what the broker has; returns the number of rows."""
    async with context.database.transaction() as connection:
        rows = await outbox.take_due(connection)
        if not rows:
            return 0
        outcomes = await publisher.publish(
            [
                Outgoing(
                    exchange,
                    row["type"],
                    json.dumps(row["body"], ensure_ascii=False).encode(),
                    str(row["event_id"]),
                    row["type"],
                    row["headers"],
                )
                for row in rows
            ]
        )
        pairs = list(zip(rows, outcomes, strict=True))
        await outbox.mark_sent(connection, [row["id"] for row, o in pairs if o == "confirmed"])
        for row, outcome in pairs:
            if outcome != "confirmed":
                log.warning("event not sent: %s", outcome, extra={"event": str(row["event_id"])})
                await outbox.mark_failed(connection, row["id"], outcome)
    return len(rows)


async def run_direct(context: Context, dispatcher: Dispatcher) -> None:
    """Without a broker: outbox rows go to the handlers of this process."""
    while True:
        try:
            handled = await direct_batch(context, dispatcher)
        except FAILURES as error:
            log.warning("events wait for the database: %s", type(error).__name__)
            handled = 0
            await asyncio.sleep(PAUSE_SECONDS)
        if not handled:
            await asyncio.sleep(POLL_SECONDS)


async def direct_batch(context: Context, dispatcher: Dispatcher) -> int:
    """Handle what is due; returns the number of rows."""
    async with context.database.transaction() as connection:
        rows = await outbox.take_due(connection)
        for row in rows:
            try:
                await dispatcher.apply(read_envelope(row["body"]))
            except UnreadableError as error:
                log.error("event cannot be read", extra={"event": str(row["event_id"])})  # noqa: TRY400
                await outbox.mark_failed(connection, row["id"], str(error))
            except Exception as error:
                log.exception("event not handled", extra={"event": str(row["event_id"])})
                await outbox.mark_failed(connection, row["id"], f"{type(error).__name__}: {error}")
            else:
                await outbox.mark_sent(connection, [row["id"]])
    return len(rows)
