"""Talking without a stream: one character, or a group."""

from __future__ import annotations

import asyncio

from fastapi import Response

from monolith import quotas
from monolith.calls import Call, CurrentCall, reply
from monolith.chat.exchange import (
    Exchange,
    Place,
    Replies,
    build_prompt,
    known_place,
    new_exchange,
    new_place,
    reserve,
    tier_for,
)
from monolith.chat.models import ChatReply, GroupReply, GroupTalkIn, TalkIn
from monolith.chat.router import router
from monolith.chat.storing import answer, store_now
from monolith.errors import provider_failed, provider_timed_out
from monolith.providers.desk import Providers
from monolith.providers.interfaces import DEFAULT_MODEL, Prompt
from monolith.values import Identifier

PROVIDER_SECONDS = 45.0  # below the 55 s of a generate route, so that storing still fits


@router.route(
    "talk",
    "POST",
    "/api/chat/talk_with",
    auth="user",
    kind="write",
    bucket="generate",
    answer=ChatReply,
    keyed=True,
)
async def talk(call: CurrentCall, body: TalkIn) -> Response:
    if body.conversation_id is None:
        place = new_place(body.character, body.series)
        tier = await tier_for(call, body.model_name)
    else:
        tier = await tier_for(call, body.model_name)
        place = await known_place(call, body.conversation_id, "single")
    return await _answered(call, place, body.model_name, body.message, tier)


@router.route(
    "group_talk",
    "POST",
    "/api/chat/group/{conversation_id}/talk",
    auth="user",
    kind="write",
    bucket="generate",
    answer=GroupReply,
    keyed=True,
)
async def group_talk(call: CurrentCall, conversation_id: Identifier, body: GroupTalkIn) -> Response:
    model = body.model or DEFAULT_MODEL
    tier = await tier_for(call, model)
    place = await known_place(call, conversation_id, "group")
    return await _answered(call, place, model, body.message, tier)


async def _answered(call: Call, place: Place, model: str, message: str, tier: int) -> Response:
    providers = call.context.part(Providers)
    await providers.moderate(message)
    prompt = await build_prompt(call, place, model, message, tier, streamed=False)
    exchange = new_exchange(call, place, prompt, await reserve(call, place, model))
    return reply(await converse(call, exchange))


async def converse(call: Call, exchange: Exchange) -> ChatReply | GroupReply:
    """Ask the model, store, settle; a failure gives the charge back and stores nothing."""
    context = call.context
    providers = context.part(Providers)
    try:
        replies = await collect(providers, exchange.prompt)
        stored_at = await store_now(context, exchange, replies, streamed=False)
    except BaseException:
        await quotas.refund(context.database, exchange.reservation.id)
        raise
    follow_ups = await providers.model.follow_ups(exchange.prompt, replies.texts)
    return answer(exchange, replies, follow_ups, stored_at)


async def collect(providers: Providers, prompt: Prompt) -> Replies:
    """All replies at once; PROVIDER_TIMEOUT after 45 s, PROVIDER_ERROR if nothing was said."""
    replies = Replies()
    try:
        async with asyncio.timeout(PROVIDER_SECONDS):
            async for delta in providers.model.replies(prompt):
                replies.add(delta.speaker, delta.text)
    except TimeoutError as error:
        raise provider_timed_out("model") from error
    if not replies.texts:
        raise provider_failed("model")
    return replies
