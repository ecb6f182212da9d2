"""Event streams (contract, 1.12): numbered events, pings, and work that outlives its client.

    @router.endpoint("chat.stream")
    async def stream(request: Request, user: CurrentUser, body: Talk, chat: ...) -> Response:
        return await open_stream(request, chat.reply(user, body))      # an async generator of Event

The generator runs in a task of its own from start to end. Whatever it raises before its first event
is an ordinary HTTP error; afterwards it becomes the last event, `error`. A client that leaves does
not stop it. At shutdown it gets 50 s, then it is cancelled once and may still save what it has.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from pydantic import BaseModel
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from shared.errors import CallerError, Code, StranglerError
from shared.observability.reports import report_exception
from shared.web.context import RequestContext, context_of
from shared.web.error_responses import as_refusal, unavailable
from shared.web.event_stream import EVENT_STREAM

log = structlog.get_logger(__name__)

PING_SECONDS = 15.0  # contract, 1.12
FIRST_EVENT_SECONDS = 15.0  # contract, 1.17
STREAM_SECONDS = 120.0  # contract, 1.17
DRAIN_SECONDS = 50.0  # contract, 1.12: an app that shuts down lets replies run this long
CLOSE_SECONDS = 3.0  # for saving and settling after that
_PING = b": ping\n\n"


@dataclass(frozen=True, slots=True)
class Event:
    """One event: `start`, `speaker`, `delta` or `done`, with JSON data."""

    name: str
    data: BaseModel | Mapping[str, Any]


def encode_event(number: int, event: Event) -> bytes:
    """The bytes of an event; JSON has no line breaks, so `data` is one line."""
    data = to_json(event.data).decode()
    return f"id: {number}\nevent: {event.name}\ndata: {data}\n\n".encode()


class StreamTasks:
    """The running streams of an app; `app.state.streams`."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._cut: asyncio.TimerHandle | None = None

    def start(self, stream: _Stream) -> asyncio.Task[None]:
        task = asyncio.create_task(stream.run(), name="event-stream")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def begin_drain(self, seconds: float = DRAIN_SECONDS) -> None:
        """Cut what still runs after some seconds; called when the app was told to stop."""
        if self._cut is None:
            self._cut = asyncio.get_running_loop().call_later(seconds, self._cancel_all)

    async def close(self) -> None:
        """Cut what still runs and wait for it to save."""
        if self._cut is not None:
            self._cut.cancel()
        self._cancel_all()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=CLOSE_SECONDS)
            if late:
                log.error("streams_not_saved", count=len(late))

    def _cancel_all(self) -> None:
        for task in self._tasks:
            task.cancel()

    def __len__(self) -> int:
        return len(self._tasks)


class _Stream:
    """One generator being run into a queue that its client, while there is one, reads."""

    def __init__(self, events: AsyncIterator[Event], context: RequestContext) -> None:
        self._events = events
        self._context = context
        self._is_started = False
        self._client_left = False
        # Unbounded on purpose: a slow reader must not stop a reply that has to be saved; one reply
        # is a few kilobytes.
        self.queue: asyncio.Queue[Event | Exception | None] = asyncio.Queue()

    async def run(self) -> None:
        try:
            async with asyncio.timeout(STREAM_SECONDS):
                async for event in self._events:
                    self._is_started = True
                    self._put(event)
        except TimeoutError:
            self._fail(CallerError(Code.UPSTREAM_TIMEOUT, "The reply took too long"))
        except asyncio.CancelledError:
            self._fail(unavailable(self._context.domain, retry_after=5))
        except Exception as error:
            if not isinstance(error, StranglerError):
                report_exception(error, request_id=self._context.request_id)
            self._fail(error)
        finally:
            self._put(None)

    async def first(self, task: asyncio.Task[None]) -> Event:
        """The first event, or the error that came instead."""
        try:
            async with asyncio.timeout(FIRST_EVENT_SECONDS):
                item = await self.queue.get()
        except TimeoutError:
            task.cancel()
            raise CallerError(Code.UPSTREAM_TIMEOUT, "The reply took too long") from None
        if isinstance(item, Exception):
            raise item
        if item is None:
            raise RuntimeError("an event stream ended without an event")
        return item

    async def encoded(self, first: Event) -> AsyncIterator[bytes]:
        """The stream as its client reads it, with pings in silence."""
        number = 1
        yield encode_event(number, first)
        try:
            while True:
                try:
                    async with asyncio.timeout(PING_SECONDS):
                        item = await self.queue.get()
                except TimeoutError:
                    yield _PING
                    continue
                if not isinstance(item, Event):
                    return
                number += 1
                yield encode_event(number, item)
        finally:
            self._client_left = True

    def _fail(self, error: Exception) -> None:
        self._put(self._error_event(error) if self._is_started else error)

    def _error_event(self, error: Exception) -> Event:
        refusal = as_refusal(error, self._context)
        return Event(
            "error",
            {
                "code": refusal.code.value,
                "message": refusal.message,
                "details": dict(refusal.details),
                "request_id": self._context.request_id,
            },
        )

    def _put(self, item: Event | Exception | None) -> None:
        if not self._client_left:
            self.queue.put_nowait(item)


async def open_stream(request: Request, events: AsyncIterator[Event]) -> Response:
    """Run `events` and answer with them; raises what fails before the first event."""
    stream = _Stream(events, context_of(request.scope))
    tasks: StreamTasks = request.app.state.streams
    first = await stream.first(tasks.start(stream))
    return StreamingResponse(stream.encoded(first), headers=EVENT_STREAM)
