"""Search, autocomplete, popular."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Response

from monolith.calls import CurrentCall, reply
from monolith.content.catalogue import ACTOR, CHARACTER, TITLE, actor_of, character_of, title_of
from monolith.content.index import CatalogueIndex
from monolith.content.matching import KINDS, Found
from monolith.content.models import (
    Actor,
    AutocompleteAnswer,
    AutocompleteQuery,
    Character,
    Hit,
    PopularAnswer,
    PopularQuery,
    SearchAnswer,
    SearchQuery,
    Suggestion,
    Title,
)
from monolith.content.router import router
from monolith.pages import NO_ID, Cursor, broken_cursor, cut, decode_cursor

CACHED_MINUTE = {"Cache-Control": "public, max-age=60"}
CACHED = {"Cache-Control": "public, max-age=300"}
OFFSET_MAX = 1_000_000
Items = list[Title] | list[Character] | list[Actor]


def _hit(found: Found) -> Hit:
    entry = found.entry
    return Hit.model_validate(
        {
            "kind": KINDS[entry.kind],
            "id": entry.id,
            "name": entry.name,
            "subtitle": entry.subtitle,
            "image_url": entry.image_url,
            "popularity": entry.popularity,
            "match": found.match,
        }
    )


@router.route(
    "search",
    "GET",
    "/api/search",
    auth="public",
    kind="read",
    bucket="public",
    answer=SearchAnswer,
)
async def search(call: CurrentCall, query: Annotated[SearchQuery, Query()]) -> Response:
    cursor = decode_cursor(query.cursor)
    offset = _offset(cursor)
    index = call.context.part(CatalogueIndex)
    found = await index.search(call.context, query.q, query.type, offset, query.limit + 1)
    page, rest = cut(found, query.limit, lambda _: Cursor(str(offset + query.limit), NO_ID))
    body = SearchAnswer(
        items=[_hit(hit) for hit in page],
        next_cursor=rest.next_cursor,
        has_more=rest.has_more,
        query=query.q,
    )
    return reply(body, headers=CACHED_MINUTE)


def _offset(cursor: Cursor | None) -> int:
    if cursor is None:
        return 0
    cursor.expect_no_id()
    offset = cursor.integer()
    if not 0 <= offset <= OFFSET_MAX:
        raise broken_cursor()
    return offset


@router.route(
    "autocomplete",
    "GET",
    "/api/autocomplete",
    auth="public",
    kind="read",
    bucket="public",
    answer=AutocompleteAnswer,
)
async def autocomplete(call: CurrentCall, query: Annotated[AutocompleteQuery, Query()]) -> Response:
    index = call.context.part(CatalogueIndex)
    found = await index.search(call.context, query.q, query.type, 0, query.limit)
    suggestions = [
        Suggestion.model_validate(
            {
                "kind": KINDS[hit.entry.kind],
                "id": hit.entry.id,
                "text": hit.entry.name,
                "subtitle": hit.entry.subtitle,
                "image_url": hit.entry.image_url,
            }
        )
        for hit in found
    ]
    return reply(AutocompleteAnswer(query=query.q, suggestions=suggestions), headers=CACHED_MINUTE)


@router.route(
    "popular",
    "GET",
    "/api/resources/popular",
    auth="public",
    kind="read",
    bucket="public",
    answer=PopularAnswer,
)
async def popular(call: CurrentCall, query: Annotated[PopularQuery, Query()]) -> Response:
    fetch = call.context.database.fetch
    order = " ORDER BY popularity DESC, id DESC LIMIT $1"
    if query.type == "actor":
        items: Items = [actor_of(row) for row in await fetch(ACTOR + order, query.limit)]
    elif query.type == "character":
        rows = await fetch(
            CHARACTER + " ORDER BY c.popularity DESC, c.id DESC LIMIT $1", query.limit
        )
        items = [character_of(row) for row in rows]
    else:
        column = "format" if query.type in {"movie", "series"} else "category"
        rows = await fetch(f"{TITLE} WHERE {column} = $2{order}", query.limit, query.type)
        items = [title_of(row) for row in rows]
    body = PopularAnswer(type=query.type, items=items)
    return reply(body, headers=CACHED)
