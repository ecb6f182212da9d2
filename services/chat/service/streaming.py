"""Replies as event streams (contract, 1.12): finished and stored whether or not the client stays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from uuid import UUID

from services.chat.models.exchange import Exchange, Replies, new_exchange
from services.chat.service.talking import Talking
from shared.contract.chat import (
    ChatReply,
    GroupReply,
    StreamDelta,
    StreamSpeaker,
    StreamStart,
    Talk,
)
from shared.errors import PeerError, provider_failed, provider_timed_out
from shared.idempotency.store import Claim
from shared.quota import Charge, complete
from shared.web.streams import Event, encode_event

#: Longest time for the deltas, in seconds: a stream lasts 120 s at most, the rest is for storing.
STREAM_SECONDS = 115.0
#: Longest time for storing, in seconds; it goes on although the app is told to end meanwhile.
STORE_SECONDS = 20.0
CONTENT_TYPE = "text/event-stream; charset=utf-8"


class Streaming:
    """Streams of one exchange each."""

    def __init__(self, talking: Talking) -> None:
        self._talking = talking

    async def events(
        self, user_id: UUID, said: Talk, claim: Claim | None
    ) -> AsyncGenerator[Event, None]:
        """start, then speaker and deltas per reply, then done; raises what ends it otherwise.

        `claim` is the held idempotency key: it keeps the short form of a stream that came to its
        end, and is freed by any other.
        """
        try:
            async with aclosing(self._exchange(user_id, said, claim)) as events:
                async for event in events:
                    yield event
        except BaseException:
            if claim is not None:
                await complete(claim.release(), seconds=STORE_SECONDS)
            raise

    async def _exchange(
        self, user_id: UUID, said: Talk, claim: Claim | None
    ) -> AsyncGenerator[Event, None]:
        talking = self._talking
        place, tier = await talking.place(user_id, said, None)
        prompt = await talking.prompt(place, said.model, said.message, tier, is_streamed=True)
        async with talking.charge(user_id, place, prompt.model) as charge:
            exchange = new_exchange(user_id, place, prompt, charge)
            yield _start(exchange)
            replies, failure = Replies(), None
            try:
                async with (
                    asyncio.timeout(STREAM_SECONDS),
                    aclosing(talking.providers.model.replies(prompt)) as deltas,
                ):
                    async for delta in deltas:
                        if replies.add(delta.speaker, delta.text):
                            yield _speaker(exchange, delta.speaker)
                        yield Event("delta", StreamDelta(text=delta.text))
            except (Exception, asyncio.CancelledError) as error:
                failure = _meaning(error)
            if failure is None and not replies.texts:
                failure = provider_failed("the model said nothing", "model")
            if failure is not None:
                await self._end_early(exchange, replies, charge)
                raise failure
            done = await complete(
                talking.finish(exchange, replies, charge, is_streamed=True), seconds=STORE_SECONDS
            )
        if claim is not None:
            await claim.complete(200, CONTENT_TYPE, _replay(exchange, replies, done))
        yield Event("done", done)

    async def _end_early(self, exchange: Exchange, replies: Replies, charge: Charge) -> None:
        """Keep what was said; nothing was: the charge goes back when its block ends."""
        if replies.texts:
            replies.is_truncated = True
            storing = self._talking.store(exchange, replies, charge, is_streamed=True)
            await complete(storing, seconds=STORE_SECONDS)


def _meaning(error: BaseException) -> Exception:
    """Why the deltas ended: what the client is told."""
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        if task is not None:
            task.uncancel()  # the process ends: what was said is still stored
        return PeerError("the app was told to end before the reply was finished")
    if isinstance(error, TimeoutError):
        return provider_timed_out(f"no end of the reply in {STREAM_SECONDS:g} s", "model")
    assert isinstance(error, Exception)  # noqa: S101 - the two that are caught
    return error


def _start(exchange: Exchange) -> Event:
    start = StreamStart(
        conversation_id=exchange.place.id,
        user_message_id=exchange.user_message_id,
        model=exchange.prompt.model,
    )
    return Event("start", start)


def _speaker(exchange: Exchange, place: int) -> Event:
    speaker = StreamSpeaker(
        message_id=exchange.reply_ids[place], character=exchange.place.speakers[place].name
    )
    return Event("speaker", speaker)


def _replay(exchange: Exchange, replies: Replies, done: ChatReply | GroupReply) -> bytes:
    """The short stream that a repeated request gets (contract, 1.9)."""
    events = [_start(exchange)]
    for place, text in enumerate(replies.texts):
        events += [_speaker(exchange, place), Event("delta", StreamDelta(text=text))]
    events.append(Event("done", done))
    return b"".join(encode_event(number, event) for number, event in enumerate(events, start=1))
