"""Scenarios that others can play, and votes on anything of the community."""

# ruff: noqa: S608 - statements are put together from constants; values are always arguments

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from fastapi import Query, Response
from pydantic import Field

from monolith.calls import CurrentCall, reply
from monolith.community.authors import COLUMNS, author_of, joins
from monolith.community.router import router
from monolith.community.story_models import Author, CharacterName
from monolith.context import Context
from monolith.database import Connection, Row, one
from monolith.errors import not_found
from monolith.pages import Cursor, PageQuery, cut, decode_cursor, time_sort
from monolith.providers.desk import Providers
from monolith.values import Identifier, Integer, Timestamp, Trimmed, Wire

SCENARIO = (
    "SELECT s.id, s.title, s.description, s.characters, s.setting, s.tone, s.is_public,"
    f" s.view_count, s.use_count, s.created_at, s.updated_at, {COLUMNS}, v.up, v.votes"
    " FROM scenarios s LEFT JOIN LATERAL (SELECT count(*) FILTER (WHERE value = 1) AS up,"
    " count(*) AS votes FROM community_votes WHERE target_type = 'scenario'"
    " AND target_id = s.id) v ON true" + joins("s.creator_id")
)
Visible = Literal["story", "scenario", "character", "room"]
# Whether $1 is visible to the caller $2.
VISIBLE: dict[Visible, str] = {
    "story": "SELECT true FROM stories WHERE id = $1 AND (published OR user_id = $2)",
    "scenario": "SELECT true FROM scenarios WHERE id = $1 AND (is_public OR creator_id = $2)",
    "character": "SELECT true FROM community_characters WHERE id = $1"
    " AND (published OR creator_id = $2)",
    "room": "SELECT true FROM fandom_rooms r WHERE id = $1 AND (is_public OR EXISTS"
    " (SELECT 1 FROM room_members m WHERE m.room_id = r.id AND m.user_id = $2))",
}


class Scenario(Wire):
    id: UUID
    creator: Author
    title: str
    description: str
    characters: list[str]
    setting: str
    tone: str
    is_public: bool
    rating: float | None
    view_count: int
    use_count: int
    created_at: Timestamp
    updated_at: Timestamp


class ScenarioPage(Wire):
    items: list[Scenario]
    next_cursor: str | None
    has_more: bool


class ScenarioCreateIn(Wire):
    title: Annotated[Trimmed, Field(min_length=1, max_length=200)]
    description: Annotated[Trimmed, Field(max_length=4000)] | None = None
    characters: Annotated[list[CharacterName], Field(max_length=10)] | None = None
    setting: Annotated[Trimmed, Field(max_length=500)] | None = None
    tone: Annotated[Trimmed, Field(max_length=100)] | None = None
    is_public: bool | None = None


class ScenarioQuery(PageQuery):
    scope: Literal["public", "mine"] = "public"


class VoteIn(Wire):
    target_type: Visible
    target_id: Identifier
    value: Annotated[Integer, Field(ge=-1, le=1)]


class VoteOut(Wire):
    target_type: Visible
    target_id: UUID
    value: int
    score: int
    up: int
    down: int


def rating_of(up: int, votes: int) -> float | None:
    """0 to 5 by the share of good votes; None without votes."""
    return round(5 * up / votes, 2) if votes else None


def scenario_of(context: Context, row: Row) -> Scenario:
    return Scenario(
        id=row["id"],
        creator=author_of(context, row),
        title=row["title"],
        description=row["description"],
        characters=row["characters"],
        setting=row["setting"],
        tone=row["tone"],
        is_public=row["is_public"],
        rating=rating_of(row["up"], row["votes"]),
        view_count=row["view_count"],
        use_count=row["use_count"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


@router.route(
    "scenario_create",
    "POST",
    "/api/story/scenarios",
    auth="user",
    kind="write",
    bucket="default",
    answer=Scenario,
    success=201,
    keyed=True,
)
async def scenario_create(call: CurrentCall, body: ScenarioCreateIn) -> Response:
    characters = list(body.characters or ())
    await call.context.part(Providers).moderate(
        body.title, body.description, body.setting, body.tone, *characters
    )
    async with call.context.database.transaction() as connection:
        made = await connection.fetchval(
            "INSERT INTO scenarios (creator_id, title, description, characters, setting, tone,"
            " is_public) VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id",
            call.user_id,
            body.title,
            body.description or "",
            characters,
            body.setting or "",
            body.tone or "",
            bool(body.is_public),
        )
        row = await one(connection, SCENARIO + " WHERE s.id = $1", made)
    return reply(scenario_of(call.context, row), 201)


@router.route(
    "scenario_list",
    "GET",
    "/api/story/scenarios",
    auth="user",
    kind="read",
    bucket="default",
    answer=ScenarioPage,
)
async def scenario_list(call: CurrentCall, query: Annotated[ScenarioQuery, Query()]) -> Response:
    cursor = decode_cursor(query.cursor)
    rows = await call.context.database.fetch(
        SCENARIO + " WHERE CASE WHEN $2 THEN s.creator_id = $1 ELSE s.is_public END"
        " AND ($3::timestamptz IS NULL OR (s.created_at, s.id) < ($3, $4))"
        " ORDER BY s.created_at DESC, s.id DESC LIMIT $5",
        call.user_id,
        query.scope == "mine",
        cursor.timestamp() if cursor else None,
        cursor.uuid() if cursor else None,
        query.limit + 1,
    )
    page, rest = cut(rows, query.limit, lambda r: Cursor(time_sort(r["created_at"]), str(r["id"])))
    return reply(
        ScenarioPage(
            items=[scenario_of(call.context, row) for row in page],
            next_cursor=rest.next_cursor,
            has_more=rest.has_more,
        )
    )


@router.route(
    "vote",
    "PUT",
    "/api/story/votes",
    auth="user",
    kind="write",
    bucket="default",
    answer=VoteOut,
)
async def vote(call: CurrentCall, body: VoteIn) -> Response:
    async with call.context.database.transaction() as connection:
        visible = await connection.fetchval(VISIBLE[body.target_type], body.target_id, call.user_id)
        if not visible:
            raise not_found(f"No such {body.target_type}")
        await _cast(connection, call.user_id, body)
        row = await one(
            connection,
            "SELECT count(*) FILTER (WHERE value = 1) AS up,"
            " count(*) FILTER (WHERE value = -1) AS down FROM community_votes"
            " WHERE target_type = $1 AND target_id = $2",
            body.target_type,
            body.target_id,
        )
    return reply(
        VoteOut(
            target_type=body.target_type,
            target_id=body.target_id,
            value=body.value,
            score=row["up"] - row["down"],
            up=row["up"],
            down=row["down"],
        )
    )


async def _cast(connection: Connection, user_id: UUID, body: VoteIn) -> None:
    if body.value == 0:
        await connection.execute(
            "DELETE FROM community_votes WHERE target_type = $1 AND target_id = $2"
            " AND user_id = $3",
            body.target_type,
            body.target_id,
            user_id,
        )
    else:
        await connection.execute(
            "INSERT INTO community_votes (target_type, target_id, user_id, value)"
            " VALUES ($1, $2, $3, $4) ON CONFLICT (target_type, target_id, user_id)"
            " DO UPDATE SET value = excluded.value",
            body.target_type,
            body.target_id,
            user_id,
            body.value,
        )
