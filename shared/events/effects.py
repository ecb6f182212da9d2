"""Runs handlers together with their inbox rows in as few transactions as possible; knows no broker."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import asyncpg
import structlog

from shared.events import inbox
from shared.events.broker import Delivery
from shared.events.envelope import Event
from shared.events.retry import ATTEMPT, count
from shared.observability.context import accept_request_id, accept_traceparent, request_scope
from shared.observability.tracing import trace
from shared.placement.connection import Connection
from shared.placement.database import Database
from shared.placement.errors import PlacementError

log = structlog.get_logger(__name__)

#: Failing events that are taken out of a batch before the rest is run one by one.
MAX_CULPRITS = 3
#: Pauses before an event that met a lock runs again, in seconds; after them it goes waiting.
LOCK_PAUSES = (0.05, 0.25)
#: The database is away, not the event wrong.
OUTAGES = (
    PlacementError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
)
#: These can come from the database's connection or from a handler's own calls.
AMBIGUOUS = (OSError, TimeoutError, asyncpg.InterfaceError)

Handler = Callable[[Connection, Event], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Job:
    """An event and the delivery that must be settled for it."""

    delivery: Delivery
    event: Event


@dataclass(slots=True)
class Result:
    """What became of some jobs. `fresh` are ids that were not handled before."""

    done: list[Job] = field(default_factory=list)
    failed: list[tuple[Job, Exception]] = field(default_factory=list)
    postponed: list[Job] = field(default_factory=list)
    fresh: set[UUID] = field(default_factory=set)
    outage: str | None = None


class _HandlerFailedError(Exception):
    """Carries which job's handler raised, out of the transaction."""

    def __init__(self, job: Job, error: Exception) -> None:
        super().__init__(type(error).__name__)
        self.job = job
        self.error = error


class Effects:
    """Applies events for one consumer."""

    def __init__(
        self,
        consumer: str,
        handlers: Mapping[str, Handler],
        database: Database,
        handler_seconds: float,
    ) -> None:
        self._consumer = consumer
        self._handlers = handlers
        self._database = database
        self._handler_seconds = handler_seconds

    async def apply(self, jobs: Sequence[Job]) -> Result:
        """All jobs in one transaction without those that fail; after some failures one by one."""
        result = Result()
        together, alone = list(jobs), list[Job]()
        while len(together) > 1 and len(result.failed) + len(alone) < MAX_CULPRITS:
            try:
                result.fresh |= await self._transact(together)
            except _HandlerFailedError as failure:
                if await self._is_outage(failure.error):
                    return _postpone(result, [*together, *alone], failure.error)
                together = [job for job in together if job is not failure.job]
                if isinstance(failure.error, asyncpg.LockNotAvailableError):
                    alone.append(failure.job)
                else:
                    result.failed.append((failure.job, failure.error))
            except Exception as error:  # at the commit, or while noting the inbox rows
                if await self._is_outage(error):
                    return _postpone(result, [*together, *alone], error)
                break
            else:
                result.done += together
                together = []
        rest = [*together, *alone]
        for place, job in enumerate(rest):
            outage = await self._apply_one(job, result)
            if outage is not None:
                return _postpone(result, rest[place:], outage)
        return result

    async def _apply_one(self, job: Job, result: Result) -> Exception | None:
        """One job in its own transaction; returns the error when the database is away."""
        pauses = iter(LOCK_PAUSES)
        while True:
            try:
                result.fresh |= await self._transact([job])
            except Exception as caught:
                error = caught.error if isinstance(caught, _HandlerFailedError) else caught
                if await self._is_outage(error):
                    return error
                pause = next(pauses, None)
                if pause is None or not isinstance(error, asyncpg.LockNotAvailableError):
                    result.failed.append((job, error))
                    return None
                await asyncio.sleep(pause)
            else:
                result.done.append(job)
                return None

    async def _transact(self, jobs: Sequence[Job]) -> set[UUID]:
        """Inbox rows and effects of all jobs, or nothing; returns the ids that were new."""
        first = {job.event.id: job for job in reversed(jobs)}  # the same event twice: once

        async def work(connection: Connection) -> set[UUID]:
            fresh = await inbox.record(
                connection, self._consumer, [job.event for job in first.values()]
            )
            for job in jobs:
                if job.event.id in fresh and first[job.event.id] is job:
                    await self._run(connection, job)
            return fresh

        return await self._database.transaction(work)

    async def _run(self, connection: Connection, job: Job) -> None:
        event = job.event
        traceparent = accept_traceparent(event.traceparent)
        scope = request_scope(accept_request_id(event.requestid or str(event.id)), traceparent)
        about = {
            "messaging.message.id": str(event.id),
            "messaging.destination.name": self._consumer,
            "messaging.message.retry.count": count(job.delivery.message.headers, ATTEMPT),
        }
        noted = structlog.contextvars.bound_contextvars(event_id=str(event.id))
        try:
            with scope, noted, trace("queue.process", event.type, traceparent, about):
                await self._handle(connection, event)
        except Exception as error:  # its cause still tells the transaction of fence and deadlock
            raise _HandlerFailedError(job, error) from error

    async def _handle(self, connection: Connection, event: Event) -> None:
        async with asyncio.timeout(self._handler_seconds):
            await self._handlers[event.type](connection, event)

    async def _is_outage(self, error: BaseException) -> bool:
        if isinstance(error, OUTAGES):
            return True
        if not isinstance(error, AMBIGUOUS):
            return False
        health = await self._database.pools.health(seconds=1.0)
        return not all(entry.ok for entry in health.values())


def _postpone(result: Result, jobs: Sequence[Job], error: Exception) -> Result:
    result.postponed += jobs
    result.outage = type(error).__name__
    return result
