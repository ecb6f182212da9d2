"""A real worker process of the service media, for fault tests: every image becomes one row.

`python -m tests.faults.events.worker_process` runs the whole worker; with FAULT=die_after_confirm
only a relay that kills itself between the broker's confirm and its own commit.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

import structlog

from shared.events import outbox
from shared.events.envelope import Event
from shared.events.rabbitmq import BrokerSettings, RabbitBroker
from shared.events.relay import Relay
from shared.events.topology import Names
from shared.events.worker import WorkerContext, WorkerPlan, run_worker
from shared.placement import Connection, open_pool

#: Sizes of images that no handler can store, and that it can store the second time only.
POISON, FRAGILE = 13, 7
PAUSE_SECONDS = float(os.environ.get("FAULT_PAUSE_SECONDS", "0"))


_tried: set[UUID] = set()
log = structlog.get_logger(__name__)


async def store_image(connection: Connection, event: Event) -> None:
    """The effect; its key has a random part, so that a second one would be a second row."""
    size = event.data["bytes"]
    if size == POISON or (size == FRAGILE and event.id not in _tried):
        _tried.add(event.id)
        log.warning("poison_run")
        raise LookupError("this image cannot be stored")
    await connection.execute(
        "INSERT INTO media_metadata (user_id, kind, content_type, bytes, sha256, storage_key)"
        " VALUES ($1::uuid, 'chat', 'image/png', 1, $2, $3)",
        event.subject,
        event.data["sha256"],
        f"{event.id}/{uuid4()}",
    )
    if PAUSE_SECONDS:
        await asyncio.sleep(PAUSE_SECONDS)


@asynccontextmanager
async def build(_context: WorkerContext) -> AsyncIterator[WorkerPlan]:
    yield WorkerPlan(handlers={"chat.image_received": store_image})


class DyingRelay(Relay):
    """Dies by SIGKILL when the broker has confirmed and nothing is committed yet."""

    async def _publish(self, rows: Sequence[outbox.OutboxRow]) -> list[str]:
        outcomes = await super()._publish(rows)
        if "confirmed" in outcomes:
            os.kill(os.getpid(), signal.SIGKILL)
        return outcomes


async def relay_and_die() -> None:
    pool = await open_pool(os.environ["SHARED_DATABASE_URL"], "test/dying-relay")
    broker = RabbitBroker(BrokerSettings(os.environ["RABBITMQ_URL"], name="dying"))
    names = Names("scenextras", os.environ["EVENTS_PREFIX"])
    await broker.publisher.wait_ready(20)
    await DyingRelay(pool, broker.publisher, names.exchange).run()


if __name__ == "__main__":
    if os.environ.get("FAULT") == "die_after_confirm":
        asyncio.run(relay_and_die())
    sys.exit(run_worker("media", build))
