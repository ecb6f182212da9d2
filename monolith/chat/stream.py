"""Talking with a stream: the reply is finished and stored whether or not the client stays."""

from __future__ import annotations

import asyncio
import logging

from fastapi import Response
from fastapi.responses import StreamingResponse

from monolith import idempotency, quotas
from monolith.calls import CurrentCall
from monolith.chat.events import HEADERS, EventStream, format_event
from monolith.chat.exchange import (
    Exchange,
    Replies,
    build_prompt,
    known_place,
    new_exchange,
    new_place,
    reserve,
    tier_for,
)
from monolith.chat.models import ChatReply, GroupReply, TalkIn
from monolith.chat.router import router
from monolith.chat.running import RunningReplies
from monolith.chat.storing import answer, store_now
from monolith.context import Context
from monolith.database import database_error
from monolith.errors import ApiError, provider_failed, provider_timed_out, unavailable
from monolith.idempotency import Claim
from monolith.providers.desk import Providers

log = logging.getLogger("monolith.chat.stream")
STREAM_SECONDS = 115.0  # a stream lasts 120 s at most (contract, 1.17); the rest is for storing


@router.route(
    "stream",
    "POST",
    "/api/chat/talk_with/stream",
    auth="user",
    kind="stream",
    bucket="generate",
    keyed=True,
    content=(HEADERS["Content-Type"],),
)
async def stream(call: CurrentCall, body: TalkIn) -> Response:
    model = body.model_name
    if body.conversation_id is None:
        place = new_place(body.character, body.series)
        tier = await tier_for(call, model)
    else:
        tier = await tier_for(call, model)
        place = await known_place(call, body.conversation_id, None)
    await call.context.part(Providers).moderate(body.message)
    prompt = await build_prompt(call, place, model, body.message, tier, streamed=True)
    exchange = new_exchange(call, place, prompt, await reserve(call, place, model))
    events = EventStream()
    events.send("start", _start(exchange))
    work = _Work(call.context, exchange, events, call.take_claim())
    call.context.part(RunningReplies).start(work.run())
    return StreamingResponse(events.chunks(), headers=HEADERS)


def _start(exchange: Exchange) -> dict[str, object]:
    return {
        "conversation_id": str(exchange.place.id),
        "user_message_id": str(exchange.user_message_id),
        "model": exchange.prompt.model,
    }


def _speaker(exchange: Exchange, position: int) -> dict[str, object]:
    return {
        "message_id": str(exchange.reply_ids[position]),
        "character": exchange.place.speakers[position].name,
    }


class _Work:
    """One reply from its first delta to its stored end."""

    def __init__(
        self, context: Context, exchange: Exchange, events: EventStream, claim: Claim | None
    ) -> None:
        self._context = context
        self._exchange = exchange
        self._events = events
        self._claim = claim
        self._replies = Replies()

    async def run(self) -> None:
        failure = await self._generate()
        try:
            done = await self._finish(failure)
        except Exception as error:
            await quotas.refund(self._context.database, self._exchange.reservation.id)
            failure, done = self._meaning(error), None
        try:
            await self._close_key(done if failure is None else None)
        except Exception as error:
            log.error("idempotency key not closed", exc_info=error)  # noqa: TRY400
        if failure is not None:
            self._events.send("error", failure.error_object(self._exchange.request_id))
        elif done is not None:
            self._events.send("done", done)
        self._events.end()

    async def _generate(self) -> ApiError | None:
        """Send the deltas on; returns why they ended too early, if they did."""
        model = self._context.part(Providers).model
        try:
            async with asyncio.timeout(STREAM_SECONDS):
                async for delta in model.replies(self._exchange.prompt):
                    if self._replies.add(delta.speaker, delta.text):
                        self._events.send("speaker", _speaker(self._exchange, delta.speaker))
                    self._events.send("delta", {"text": delta.text})
        except TimeoutError:
            return provider_timed_out("model")
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None:
                task.uncancel()  # the process ends: what was said is still stored
            return unavailable("The app is restarting")
        except Exception as error:
            return self._meaning(error)
        return None if self._replies.texts else provider_failed("model")

    async def _finish(self, failure: ApiError | None) -> ChatReply | GroupReply | None:
        """Store and settle what was said, or give the charge back if nothing was."""
        exchange, replies = self._exchange, self._replies
        if not replies.texts:
            await quotas.refund(self._context.database, exchange.reservation.id)
            return None
        replies.truncated = failure is not None
        stored_at = await store_now(self._context, exchange, replies, streamed=True)
        if failure is not None:
            return None
        model = self._context.part(Providers).model
        follow_ups = await model.follow_ups(exchange.prompt, replies.texts)
        return answer(exchange, replies, follow_ups, stored_at)

    async def _close_key(self, done: ChatReply | GroupReply | None) -> None:
        if self._claim is None:
            return
        if done is None:
            await idempotency.release(self._context.database, self._claim)
        else:
            await idempotency.complete(
                self._context.database,
                self._claim,
                200,
                HEADERS["Content-Type"],
                self._replay(done),
            )

    def _replay(self, done: ChatReply | GroupReply) -> bytes:
        """The short stream that a repeated request gets (contract, 1.9)."""
        events: list[tuple[str, object]] = [("start", _start(self._exchange))]
        for position, text in enumerate(self._replies.texts):
            events.append(("speaker", _speaker(self._exchange, position)))
            events.append(("delta", {"text": text}))
        events.append(("done", done))
        return b"".join(
            format_event(number, name, data)  # type: ignore[arg-type]
            for number, (name, data) in enumerate(events, start=1)
        )

    def _meaning(self, error: Exception) -> ApiError:
        known = error if isinstance(error, ApiError) else database_error(error)
        if known is None:
            log.error(
                "reply failed",
                exc_info=error,
                extra={"request_id": self._exchange.request_id},
            )
            known = ApiError("INTERNAL_ERROR", "Something went wrong")
        return known
