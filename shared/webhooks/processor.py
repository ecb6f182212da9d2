"""Applies stored deliveries: effect, events and the new status in one transaction under the row's lock."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from uuid import UUID

import structlog

from shared.observability.reports import report_exception
from shared.placement.connection import Connection
from shared.placement.database import Database
from shared.placement.errors import PlacementError
from shared.webhooks import inbox
from shared.webhooks.inbox import InboxRow, Status, WebhookSide
from shared.webhooks.providers import Delivery

log = structlog.get_logger(__name__)

#: Deliveries that one round of the sweep applies at most; the next round takes the rest.
ROUND_ROWS = 200
#: Deferred deliveries that are tried right after one of the same sender was applied.
WAITING_ROWS = 20
#: Characters of an error's text that are kept.
MAX_ERROR_CHARACTERS = 300
#: SQLSTATE of the trigger that guards owners.
NOT_THE_OWNER = "SP004"
#: A handler for every type of a provider that has none of its own.
ANY = "*"


class Verdict(Enum):
    """What an effect says about its delivery."""

    PROCESSED = "processed"
    IGNORED = "ignored"  # nothing to do
    DEFERRED = "deferred"  # the user or customer is not known yet: try again later


@dataclass(frozen=True, slots=True)
class Effect:
    """A verdict, and whose delivery it was."""

    verdict: Verdict = Verdict.PROCESSED
    user_id: UUID | None = None
    note: str | None = None


Handler = Callable[[Connection, Delivery], Awaitable[Effect]]


class WebhookProcessor:
    """Applies the deliveries of some providers on one side."""

    def __init__(
        self,
        database: Database,
        handlers: Mapping[str, Mapping[str, Handler]],
        *,
        side: WebhookSide = "service",
        is_held: Callable[[], bool] = lambda: False,
    ) -> None:
        """`handlers` by provider and event type; types without one are ignored.

        While `is_held()` (maintenance) deliveries are stored and wait.
        """
        self._database = database
        self._handlers = {provider: dict(by_type) for provider, by_type in handlers.items()}
        self._side: WebhookSide = side
        self._is_held = is_held

    async def process(self, provider: str, event_id: str) -> Status | None:
        """Apply one delivery now; None when it is not ours, done, or in somebody's hands.

        One that had an effect may be what deferred ones of its sender lack: they are tried as well.
        """
        status = await self._process(provider, event_id)
        if status == "processed":
            for waiting in await self._database.transaction(
                lambda connection: inbox.deferred(connection, provider, WAITING_ROWS)
            ):
                await self._process(provider, waiting, is_extra=True)
        return status

    async def _process(
        self, provider: str, event_id: str, *, is_extra: bool = False
    ) -> Status | None:
        if self._is_held():
            return None
        return await self._apply(
            lambda connection: inbox.claim(connection, self._side, provider, event_id),
            is_extra=is_extra,
        )

    async def sweep(self) -> int:
        """Apply everything that is due, oldest first; returns how many were tried.

        Run every few seconds: this is what keeps the promise of "at most 5 s later".
        """
        tried: list[tuple[str, str]] = []
        while len(tried) < ROUND_ROWS and not self._is_held():
            before = len(tried)
            await self._apply(
                lambda connection: inbox.claim_due(
                    connection, self._side, list(self._handlers), tried
                ),
                tried,
            )
            if len(tried) == before:
                break
        return len(tried)

    async def alarm(self) -> int:
        """How many deliveries are open after three days; reports them when there are any."""
        found = await self._database.transaction(inbox.overdue)
        if found:
            log.error("webhooks_overdue", deliveries=found, see="migrate webhooks list")
        return found

    async def _apply(
        self,
        claim: Callable[[Connection], Awaitable[InboxRow | None]],
        tried: list[tuple[str, str]] | None = None,
        *,
        is_extra: bool = False,
    ) -> Status | None:
        """`is_extra`: a try out of turn, which does not make the pause before the next one longer."""
        claimed: InboxRow | None = None

        async def work(connection: Connection) -> Status | None:
            nonlocal claimed
            claimed = row = await claim(connection)
            if row is None:
                return None
            effect = await self._run(connection, row)
            if is_extra and effect.verdict is Verdict.DEFERRED:
                return "deferred"
            status: Status = effect.verdict.value
            await inbox.finish(
                connection, self._side, row, status, error=effect.note, user_id=effect.user_id
            )
            return status

        try:
            status = await self._database.transaction(work)
        except PlacementError:
            raise  # the database is away: the delivery is as it was
        except Exception as error:
            if claimed is None:
                raise
            if getattr(error, "sqlstate", None) == NOT_THE_OWNER:
                status = None  # the owner moved while we worked: nothing of ours has happened
            else:
                status = await self._note_failure(claimed, error)
        if claimed is not None and tried is not None:
            tried.append((claimed.provider, claimed.event_id))
        return status

    async def _run(self, connection: Connection, row: InboxRow) -> Effect:
        handlers = self._handlers.get(row.provider, {})
        handler = handlers.get(row.event_type) or handlers.get(ANY)
        if handler is None:
            return Effect(Verdict.IGNORED, note="no handler for this type")
        return await handler(connection, row.delivery())

    async def _note_failure(self, row: InboxRow, error: Exception) -> Status:
        report_exception(error, provider=row.provider, event_id=row.event_id, type=row.event_type)
        text = f"{type(error).__name__}: {error}"[:MAX_ERROR_CHARACTERS]
        await self._database.transaction(
            lambda connection: inbox.finish(connection, self._side, row, "failed", error=text)
        )
        return "failed"


class Kicker:
    """Applies deliveries in the background right after they were stored, a few at a time."""

    def __init__(self, processor: WebhookProcessor, limit: int = 4) -> None:
        self._processor = processor
        self._limit = limit
        self._tasks: set[asyncio.Task[None]] = set()

    def kick(self, provider: str, event_id: str) -> bool:
        """Start applying; False when enough are under way, and then the sweep takes it."""
        if len(self._tasks) >= self._limit:
            return False
        task = asyncio.create_task(self._process(provider, event_id))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def close(self, seconds: float = 10.0) -> None:
        """Wait for what is under way."""
        if self._tasks:
            _done, late = await asyncio.wait(self._tasks, timeout=seconds)
            for task in late:
                task.cancel()

    async def _process(self, provider: str, event_id: str) -> None:
        try:
            await self._processor.process(provider, event_id)
        except PlacementError as error:
            log.warning("webhook_left_to_sweep", provider=provider, error=type(error).__name__)
        except Exception as error:
            report_exception(error, provider=provider, event_id=event_id)
