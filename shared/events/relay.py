"""Moves committed outbox rows to the broker; a row counts as sent after an ack without a return.

Knows the outbox and a publisher, no handler. Any number of relays may work on one table: rows are
locked with SKIP LOCKED, so there is no owner that could die. A relay that dies between confirm and
commit publishes its batch again; consumers drop what they have already handled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
import structlog

from shared.errors import PeerError
from shared.events import outbox
from shared.events.broker import Message, Outcome, Publisher
from shared.events.errors import BrokerLostError
from shared.events.metrics import EventMetrics
from shared.placement.connection import Pool
from shared.placement.pools import CONNECTION_ERRORS

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RelaySettings:
    """Sizes and pauses of a relay, in rows and seconds."""

    batch_rows: int = 500  # more in one transaction was no faster and holds locks longer
    poll_seconds: float = 0.25  # fallback; a kick after the commit is the usual wake-up
    busy_poll_seconds: float = 0.02  # for a while after work: other processes cannot kick us
    busy_seconds: float = 2.0
    confirm_seconds: float = 10.0  # a batch that is not confirmed by then is taken again
    first_pause_seconds: float = 1.0  # of a row that the broker returned or refused
    longest_pause_seconds: float = 300.0
    keep_sent_seconds: float = 86_400.0  # audit and replay window
    janitor_seconds: float = 60.0
    janitor_rows: int = 5000


class Relay:
    """One relay on one database."""

    def __init__(
        self,
        pool: Pool,
        publisher: Publisher,
        exchange: str,
        *,
        settings: RelaySettings | None = None,
        metrics: EventMetrics | None = None,
        name: str = "outbox",
    ) -> None:
        self._pool = pool
        self._publisher = publisher
        self._exchange = exchange
        self._settings = settings or RelaySettings()
        self._metrics = metrics or EventMetrics()
        self._name = name
        self._kicked = asyncio.Event()
        self._stopping = False
        self._last_error: str | None = None

    def kick(self) -> None:
        """Look at the outbox now; called in the event loop after a commit."""
        self._kicked.set()

    @property
    def is_stopping(self) -> bool:
        return self._stopping

    def stop(self) -> None:
        """End `run` after the batch in hand."""
        self._stopping = True
        self._kicked.set()

    async def run(self) -> None:
        """Relay until `stop`; survives a lost database and a lost or blocked broker."""
        settings = self._settings
        clock = asyncio.get_running_loop().time
        busy_until = 0.0
        janitor = asyncio.create_task(self._clean_up(), name=f"{self._name}-janitor")
        try:
            while not self._stopping:
                self._kicked.clear()
                taken = await self._try_batch()
                if taken == settings.batch_rows:
                    continue
                if taken:
                    busy_until = clock() + settings.busy_seconds
                is_busy = clock() < busy_until
                pause = settings.busy_poll_seconds if is_busy else settings.poll_seconds
                await self._sleep(pause)
        finally:
            janitor.cancel()
            await asyncio.gather(janitor, return_exceptions=True)

    async def relay_batch(self) -> int:
        """Publish one batch and mark its rows; returns how many rows were taken."""
        settings = self._settings
        with self._metrics.relay_batch_seconds.time():
            async with self._pool.acquire() as connection, connection.transaction():
                rows = await outbox.take_due(connection, settings.batch_rows)
                if not rows:
                    return 0
                outcomes = await self._publish(rows)
                by_outcome: dict[str, list[int]] = {}
                for row, outcome in zip(rows, outcomes, strict=True):
                    by_outcome.setdefault(outcome, []).append(row.id)
                await outbox.mark_sent(connection, by_outcome.get("confirmed", []))
                for outcome in ("returned", "rejected"):
                    await outbox.mark_failed(
                        connection,
                        by_outcome.get(outcome, []),
                        outcome,
                        first_pause_seconds=settings.first_pause_seconds,
                        longest_pause_seconds=settings.longest_pause_seconds,
                    )
        for outcome, ids in by_outcome.items():
            self._metrics.published.labels(outcome).inc(len(ids))
            if outcome != "confirmed":
                log.warning("events_not_sent", outbox=self._name, outcome=outcome, rows=len(ids))
        return len(rows) if "lost" not in by_outcome else 0

    async def _publish(self, rows: Sequence[outbox.OutboxRow]) -> list[str]:
        """What became of each row: an Outcome's value, or `lost` when nobody knows."""
        futures = [self._publisher.publish(self._exchange, row.type, _message(row)) for row in rows]
        await asyncio.wait(futures, timeout=self._settings.confirm_seconds)
        return [_outcome(future) for future in futures]

    async def _try_batch(self) -> int:
        """One batch unless the broker is away; failures are logged once and tried again."""
        if not self._publisher.is_ready:  # do not even take a row lock during an alarm
            await self._publisher.wait_ready(self._settings.poll_seconds)
            return 0
        try:
            taken = await self.relay_batch()
        except (*CONNECTION_ERRORS, asyncpg.PostgresError, PeerError) as error:
            self._note_error(error)
            await self._sleep(self._settings.poll_seconds)
            return 0
        if self._last_error is not None:
            log.info("relay_recovered", outbox=self._name)
            self._last_error = None
        return taken

    async def _clean_up(self) -> None:
        settings = self._settings
        while True:
            await asyncio.sleep(settings.janitor_seconds)
            try:
                while True:
                    async with self._pool.acquire() as connection:
                        deleted = await outbox.delete_sent(
                            connection, settings.keep_sent_seconds, settings.janitor_rows
                        )
                    if deleted < settings.janitor_rows:
                        break
            except (*CONNECTION_ERRORS, asyncpg.PostgresError) as error:
                self._note_error(error)

    def _note_error(self, error: BaseException) -> None:
        name = type(error).__name__
        self._metrics.relay_errors.labels(name).inc()
        if name != self._last_error:
            log.warning("relay_waits", outbox=self._name, error=name)
            self._last_error = name

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._kicked.wait()
        except TimeoutError:
            return


def _message(row: outbox.OutboxRow) -> Message:
    return Message(
        row.body,
        str(row.event_id),
        row.type,
        row.headers,
        row.created_at,
    )


def _outcome(future: asyncio.Future[Outcome]) -> str:
    if not future.done():
        future.cancel()
        return "lost"
    error: Any = future.exception()
    if error is None:
        return future.result().value
    if isinstance(error, BrokerLostError):
        return "lost"
    raise error
