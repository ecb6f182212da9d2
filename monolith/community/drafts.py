"""New stories: written by the user, or by the model for a quota."""

from __future__ import annotations

import asyncio
import uuid
from uuid import UUID

from fastapi import Response

from monolith.calls import Call, CurrentCall, reply
from monolith.community.router import router
from monolith.community.story_models import DraftedStory, DraftIn, ScenarioIn
from monolith.community.story_rows import find_story, story_of
from monolith.database import Connection, emit
from monolith.errors import invalid_field, provider_timed_out
from monolith.ownership import owns_conversation
from monolith.providers.desk import Providers
from monolith.providers.interfaces import StoryRequest, StoryText
from monolith.quotas import UNLIMITED, charge, remaining_of, settle

PROVIDER_SECONDS = 45.0
TITLE_MAX = 200


@router.route(
    "story_draft",
    "POST",
    "/api/story/drafts",
    auth="user",
    kind="write",
    bucket="generate",
    answer=DraftedStory,
    success=201,
    keyed=True,
)
async def story_draft(call: CurrentCall, body: DraftIn) -> Response:
    if body.content is not None and body.title is None:
        raise invalid_field("body.title", "is needed with content")
    if body.conversation_id is not None and not await owns_conversation(call, body.conversation_id):
        raise invalid_field("body.conversation_id", "is not a conversation of yours")
    scenario = body.scenario or ScenarioIn()
    await call.context.part(Providers).moderate(
        body.title,
        body.content,
        body.universe,
        *body.characters,
        scenario.setting,
        scenario.tone,
        *(scenario.themes or ()),
    )
    if body.content is not None and body.title is not None:
        story = await _store(call, body, StoryText(body.title, body.content, 0), None)
        remaining = await _story_quota(call)
    else:
        async with charge(call, "story", 1) as reservation:
            text = await _written(call, body, scenario)
            story = await _store(call, body, text, reservation.id)
            remaining = reservation.remaining
    row = await find_story(call.context.database, call.user_id, story)
    shown = story_of(call.context, row)
    return reply(DraftedStory(**shown.model_dump(), remaining_quota=remaining), 201)


async def _written(call: Call, body: DraftIn, scenario: ScenarioIn) -> StoryText:
    request = StoryRequest(
        tuple(body.characters),
        body.universe or "",
        body.title,
        scenario.setting or "",
        scenario.tone or "",
        tuple(scenario.themes or ()),
    )
    try:
        async with asyncio.timeout(PROVIDER_SECONDS):
            return await call.context.part(Providers).model.story(request)
    except TimeoutError as error:
        raise provider_timed_out("model") from error


async def _store(call: Call, body: DraftIn, text: StoryText, reservation_id: UUID | None) -> UUID:
    story_id = uuid.uuid4()
    async with call.context.database.transaction() as connection:
        await connection.execute(
            "INSERT INTO stories (id, user_id, conversation_id, title, content, universe,"
            " characters, scenario) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            story_id,
            call.user_id,
            body.conversation_id,
            text.title[:TITLE_MAX],
            text.content,
            body.universe or "",
            list(body.characters),
            (body.scenario or ScenarioIn()).stored(),
        )
        if reservation_id is not None:
            await settle(connection, reservation_id, text.tokens)
        await _announce(connection, call, story_id, reservation_id)
    return story_id


async def _announce(
    connection: Connection, call: Call, story_id: UUID, reservation_id: UUID | None
) -> None:
    data = {
        "story_id": str(story_id),
        "generated": reservation_id is not None,
        "reservation_id": None if reservation_id is None else str(reservation_id),
    }
    await emit(connection, "story.created", call.user_id, data, "community", call.request_id)


async def _story_quota(call: Call) -> int:
    """What is left of the quota that was not charged."""
    row = await call.context.database.row(
        "SELECT limit_amount, used, held, bonus FROM quota_status"
        " WHERE user_id = $1 AND quota_type = 'story'",
        call.user_id,
    )
    return UNLIMITED if row is None else remaining_of(*row)
