"""Lists and details of movies, series, characters and actors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated
from uuid import UUID

from fastapi import Query, Response

from monolith.calls import Call, CurrentCall, reply, tag_of, tagged
from monolith.content.catalogue import (
    ACTOR,
    CHARACTER,
    TITLE,
    Conditions,
    actor_of,
    by_popularity,
    cast_of,
    character_of,
    filmography_of,
    list_rows,
    title_of,
)
from monolith.content.index import CatalogueIndex
from monolith.content.models import (
    ActorDetail,
    ActorPage,
    ActorQuery,
    CharacterDetail,
    CharacterPage,
    CharacterQuery,
    TitleDetail,
    TitlePage,
    TitleQuery,
)
from monolith.content.router import router
from monolith.database import Row
from monolith.errors import not_found
from monolith.pages import cut, decode_cursor
from monolith.routes import UNCHANGED
from monolith.values import Identifier

CACHED: Mapping[str, str] = {"Cache-Control": "public, max-age=300"}


@router.route(
    "movies",
    "GET",
    "/api/resources/movies",
    auth="public",
    kind="read",
    bucket="public",
    answer=TitlePage,
)
async def movies(call: CurrentCall, query: Annotated[TitleQuery, Query()]) -> Response:
    return await _titles(call, query, "movie")


@router.route(
    "series_list",
    "GET",
    "/api/resources/series",
    auth="public",
    kind="read",
    bucket="public",
    answer=TitlePage,
)
async def series_list(call: CurrentCall, query: Annotated[TitleQuery, Query()]) -> Response:
    return await _titles(call, query, "series")


async def _titles(call: Call, query: TitleQuery, form: str) -> Response:
    conditions = Conditions()
    conditions.add("format = {}", form)
    if query.category is not None:
        conditions.add("category = {}", query.category)
    if query.genre:
        conditions.add("{} = ANY (genres)", query.genre)
    if query.year is not None:
        conditions.add("year = {}", query.year)
    conditions.after(decode_cursor(query.cursor))
    rows = await list_rows(call.context.database, TITLE, conditions, query.limit)
    page, rest = cut(rows, query.limit, by_popularity)
    body = TitlePage(
        items=[title_of(row) for row in page],
        next_cursor=rest.next_cursor,
        has_more=rest.has_more,
    )
    return reply(body, headers=CACHED)


@router.route(
    "movie",
    "GET",
    "/api/resources/movies/{title_id}",
    auth="public",
    kind="read",
    bucket="public",
    answer=TitleDetail,
    also=UNCHANGED,
)
async def movie(call: CurrentCall, title_id: Identifier) -> Response:
    return await _title(call, title_id, "movie")


@router.route(
    "series",
    "GET",
    "/api/resources/series/{title_id}",
    auth="public",
    kind="read",
    bucket="public",
    answer=TitleDetail,
    also=UNCHANGED,
)
async def series(call: CurrentCall, title_id: Identifier) -> Response:
    return await _title(call, title_id, "series")


async def _title(call: Call, title_id: UUID, form: str) -> Response:
    row = await call.context.database.row(TITLE + " WHERE id = $1 AND format = $2", title_id, form)
    if row is None:
        raise not_found(f"No such {form}")
    cast = await cast_of(call.context.database, title_id)
    tag = tag_of(row["updated_at"])
    return tagged(call, tag, CACHED, lambda: TitleDetail(**dict(row), characters=cast))


@router.route(
    "characters",
    "GET",
    "/api/resources/characters",
    auth="public",
    kind="read",
    bucket="public",
    answer=CharacterPage,
)
async def characters(call: CurrentCall, query: Annotated[CharacterQuery, Query()]) -> Response:
    cursor = decode_cursor(query.cursor)
    conditions = Conditions()
    if query.title_id is not None:
        conditions.add("c.title_id = {}", query.title_id)
    if query.source is not None:
        conditions.add("c.source = {}", query.source)
    if query.q is not None:
        conditions.add("c.id = ANY ({}::uuid[])", await _fitting(call, query.q, "character"))
    conditions.after(cursor, "c.")
    rows = await list_rows(call.context.database, CHARACTER, conditions, query.limit, "c.")
    page, rest = cut(rows, query.limit, by_popularity)
    body = CharacterPage(
        items=[character_of(row) for row in page],
        next_cursor=rest.next_cursor,
        has_more=rest.has_more,
    )
    return reply(body, headers=CACHED)


async def _fitting(call: Call, query: str, type_name: str) -> list[str]:
    index = call.context.part(CatalogueIndex)
    return [entry.id for entry in await index.matching(call.context, query, type_name)]


@router.route(
    "character",
    "GET",
    "/api/resources/characters/{character_id}",
    auth="public",
    kind="read",
    bucket="public",
    answer=CharacterDetail,
    also=UNCHANGED,
)
async def character(call: CurrentCall, character_id: Identifier) -> Response:
    database = call.context.database
    row = await database.row(CHARACTER + " WHERE c.id = $1", character_id)
    if row is None:
        raise not_found("No such character")
    title: Row | None = None
    if row["title_id"] is not None:
        title = await database.row(TITLE + " WHERE id = $1", row["title_id"])
    return tagged(
        call,
        tag_of(row["updated_at"]),
        CACHED,
        lambda: CharacterDetail(**dict(row), title=title_of(title) if title else None),
    )


@router.route(
    "actors",
    "GET",
    "/api/resources/actors",
    auth="public",
    kind="read",
    bucket="public",
    answer=ActorPage,
)
async def actors(call: CurrentCall, query: Annotated[ActorQuery, Query()]) -> Response:
    cursor = decode_cursor(query.cursor)
    conditions = Conditions()
    if query.q is not None:
        conditions.add("id = ANY ({}::uuid[])", await _fitting(call, query.q, "actor"))
    conditions.after(cursor)
    rows = await list_rows(call.context.database, ACTOR, conditions, query.limit)
    page, rest = cut(rows, query.limit, by_popularity)
    body = ActorPage(
        items=[actor_of(row) for row in page],
        next_cursor=rest.next_cursor,
        has_more=rest.has_more,
    )
    return reply(body, headers=CACHED)


@router.route(
    "actor",
    "GET",
    "/api/resources/actors/{actor_id}",
    auth="public",
    kind="read",
    bucket="public",
    answer=ActorDetail,
    also=UNCHANGED,
)
async def actor(call: CurrentCall, actor_id: Identifier) -> Response:
    database = call.context.database
    row = await database.row(ACTOR + " WHERE id = $1", actor_id)
    if row is None:
        raise not_found("No such actor")
    films = await filmography_of(database, actor_id)
    tag = tag_of(row["updated_at"])
    return tagged(call, tag, CACHED, lambda: ActorDetail(**dict(row), filmography=films))
