"""Stories: list, get, update, publish, like, delete."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Query, Response

from monolith.calls import Call, CurrentCall, empty, reply
from monolith.community.notices import notify
from monolith.community.router import router
from monolith.community.story_models import (
    LikeIn,
    LikeOut,
    Story,
    StoryPage,
    StoryQuery,
    StoryUpdateIn,
)
from monolith.community.story_rows import STORY, find_own_story, find_story, item_of, story_of
from monolith.database import Row, emit
from monolith.errors import not_found
from monolith.pages import Cursor, cut, decode_cursor, time_sort
from monolith.providers.desk import Providers
from monolith.values import Identifier


@router.route(
    "story_list",
    "GET",
    "/api/story/stories",
    auth="public",
    kind="read",
    bucket="public",
    answer=StoryPage,
)
async def story_list(call: CurrentCall, query: Annotated[StoryQuery, Query()]) -> Response:
    cursor = decode_cursor(query.cursor)
    column = "created_at" if query.mine else "published_at"
    if not query.mine and query.sort == "top":
        column = "like_count"
    rows = await _page(call, query, column, cursor)

    def place(row: Row) -> Cursor:
        value = row[column]
        return Cursor(str(value) if column == "like_count" else time_sort(value), str(row["id"]))

    page, rest = cut(rows, query.limit, place)
    return reply(
        StoryPage(
            items=[item_of(call.context, row) for row in page],
            next_cursor=rest.next_cursor,
            has_more=rest.has_more,
        )
    )


async def _page(call: Call, query: StoryQuery, column: str, cursor: Cursor | None) -> list[Row]:
    if query.mine and call.viewer_id is None:
        return []
    whose = "s.user_id = $1::uuid" if query.mine else "s.published"
    arguments: list[object] = [call.viewer_id, query.limit + 1]
    after = ""
    if cursor is not None:
        place = cursor.integer() if column == "like_count" else cursor.timestamp()
        arguments += [place, cursor.uuid()]
        after = f" AND (s.{column}, s.id) < ($3, $4)"
    order = f" ORDER BY s.{column} DESC, s.id DESC LIMIT $2"
    return await call.context.database.fetch(f"{STORY} WHERE {whose}{after}{order}", *arguments)


@router.route(
    "story_get",
    "GET",
    "/api/story/stories/{story_id}",
    auth="public",
    kind="read",
    bucket="public",
    answer=Story,
)
async def story_get(call: CurrentCall, story_id: Identifier) -> Response:
    row = await find_story(call.context.database, call.viewer_id, story_id)
    return reply(story_of(call.context, row))


async def _shown(call: Call, story_id: UUID) -> Response:
    row = await find_story(call.context.database, call.user_id, story_id)
    return reply(story_of(call.context, row))


@router.route(
    "story_update",
    "PATCH",
    "/api/story/stories/{story_id}",
    auth="user",
    kind="write",
    bucket="default",
    answer=Story,
)
async def story_update(call: CurrentCall, story_id: Identifier, body: StoryUpdateIn) -> Response:
    await find_own_story(call, story_id)
    given = {name: getattr(body, name) for name in sorted(body.model_fields_set)}
    scenario = given.get("scenario")
    if scenario is not None:
        given["scenario"] = scenario.stored()
    texts = [str(given.get(name, "")) for name in ("title", "content", "universe", "scenario")]
    await call.context.part(Providers).moderate(*texts, *given.get("characters", ()))
    if given:
        updates = ", ".join(f"{name} = ${at}" for at, name in enumerate(given, start=3))
        await call.context.database.execute(
            f"UPDATE stories SET {updates} WHERE id = $1 AND user_id = $2",  # noqa: S608
            story_id,
            call.user_id,
            *given.values(),
        )
    return await _shown(call, story_id)


@router.route(
    "story_publish",
    "POST",
    "/api/story/stories/{story_id}/publish",
    auth="user",
    kind="write",
    bucket="default",
    answer=Story,
)
async def story_publish(call: CurrentCall, story_id: Identifier) -> Response:
    row = await find_own_story(call, story_id)
    if not row["published"]:
        await call.context.part(Providers).moderate(row["title"], row["content"])
        async with call.context.database.transaction() as connection:
            title = await connection.fetchval(
                "UPDATE stories SET published = true, published_at = now()"
                " WHERE id = $1 AND NOT published RETURNING title",
                story_id,
            )
            if title is not None:
                data = {"story_id": str(story_id), "title": title}
                await emit(
                    connection,
                    "story.published",
                    call.user_id,
                    data,
                    "community",
                    call.request_id,
                )
    return await _shown(call, story_id)


@router.route(
    "story_like",
    "PUT",
    "/api/story/stories/{story_id}/like",
    auth="user",
    kind="write",
    bucket="default",
    answer=LikeOut,
)
async def story_like(call: CurrentCall, story_id: Identifier, body: LikeIn) -> Response:
    liked = body.liked is not False
    async with call.context.database.transaction() as connection:
        story = await connection.fetchrow(
            "SELECT user_id, title, like_count FROM stories WHERE id = $1 AND published FOR UPDATE",
            story_id,
        )
        if story is None:
            raise not_found("No such story")
        changed = await connection.fetchval(
            "INSERT INTO story_likes (story_id, user_id) VALUES ($1, $2)"
            " ON CONFLICT DO NOTHING RETURNING true"
            if liked
            else "DELETE FROM story_likes WHERE story_id = $1 AND user_id = $2 RETURNING true",
            story_id,
            call.user_id,
        )
        count = story["like_count"]
        if changed:
            count = await connection.fetchval(
                "UPDATE stories SET like_count = greatest(like_count + $2, 0) WHERE id = $1"
                " RETURNING like_count",
                story_id,
                1 if liked else -1,
            )
            data = {
                "story_id": str(story_id),
                "author_id": str(story["user_id"]),
                "liked": liked,
            }
            await emit(connection, "story.liked", call.user_id, data, "community", call.request_id)
            if liked and story["user_id"] != call.user_id:
                await notify(
                    connection,
                    story["user_id"],
                    "story_like",
                    "Somebody likes your story",
                    story["title"],
                    {"story_id": str(story_id), "user_id": str(call.user_id)},
                    f"like:{story_id}:{call.user_id}",
                )
    return reply(LikeOut(story_id=story_id, liked=liked, like_count=count))


@router.route(
    "story_delete",
    "DELETE",
    "/api/story/stories/{story_id}",
    auth="user",
    kind="write",
    bucket="default",
    success=204,
)
async def story_delete(call: CurrentCall, story_id: Identifier) -> Response:
    async with call.context.database.transaction() as connection:
        published = await connection.fetchval(
            "DELETE FROM stories WHERE id = $1 AND user_id = $2 RETURNING published",
            story_id,
            call.user_id,
        )
        if published is None:
            raise not_found("No such story")
        await connection.execute(
            "DELETE FROM community_votes WHERE target_type = 'story' AND target_id = $1", story_id
        )
        data = {"story_id": str(story_id), "was_published": published}
        await emit(connection, "story.deleted", call.user_id, data, "community", call.request_id)
    return empty()
