"""The public routes of the content domain (contract, 2.4): parameters in, wire models out."""

from __future__ import annotations

from typing import Annotated, TypeVar

from fastapi import Depends, Query, Request

from services.content.models import CharacterFilter, Place, TitleFilter, TitleFormat
from services.content.search.entries import Found
from services.content.service import ContentService, Listing
from shared.contract.content import (
    ActorDetail,
    ActorPage,
    CharacterDetail,
    CharacterPage,
    CharacterSource,
    ContentType,
    Hit,
    Popular,
    SearchPage,
    Suggestion,
    Suggestions,
    Title,
    TitleCategory,
    TitleDetail,
    TitlePage,
)
from shared.contract.values import Id, Integer, Text
from shared.errors import CallerError, Code
from shared.web.cursors import NO_ID, Cursor, Limit, cursor_parameter
from shared.web.endpoints import ServiceRouter
from shared.web.replies import Reply, weak_etag

T = TypeVar("T")
router = ServiceRouter()

CATALOGUE_SECONDS = 300  # contract, 1.11
SEARCH_SECONDS = 60  # contract, 1.11
#: Far above any result list; keeps cursors of other origin from asking for absurd offsets.
MAX_OFFSET = 1_000_000

SearchText = Annotated[str, Text(1, 100)]
Genre = Annotated[str, Text(0, 100)]
Year = Annotated[Integer, Query(ge=0, le=9999)]
SuggestionLimit = Annotated[Integer, Query(ge=1, le=10)]
AfterCursor = Annotated[Cursor | None, Depends(cursor_parameter)]


async def content_service(request: Request) -> ContentService:
    """The service that the app's lifespan has opened; async, for others run in a thread."""
    service: ContentService = request.app.state.content
    return service


Content = Annotated[ContentService, Depends(content_service)]


@router.endpoint("content.search", cache_seconds=SEARCH_SECONDS)
async def search(
    content: Content,
    after: AfterCursor,
    q: SearchText,
    type: ContentType | None = None,  # noqa: A002 - the parameter's public name
    limit: Limit = 20,
) -> SearchPage:
    offset = _offset(after)
    hits = content.search(q, type, offset, limit + 1)
    has_more = len(hits) > limit
    return SearchPage(
        items=tuple(_hit(hit) for hit in hits[:limit]),
        next_cursor=Cursor.of(offset + limit, None).encode() if has_more else None,
        has_more=has_more,
        query=q,
    )


@router.endpoint("content.autocomplete", cache_seconds=SEARCH_SECONDS)
async def autocomplete(
    content: Content,
    q: SearchText,
    type: ContentType | None = None,  # noqa: A002 - the parameter's public name
    limit: SuggestionLimit = 8,
) -> Suggestions:
    return Suggestions(
        query=q,
        suggestions=tuple(_suggestion(hit) for hit in content.search(q, type, 0, limit)),
    )


@router.endpoint("content.movies", cache_seconds=CATALOGUE_SECONDS)
async def movies(
    content: Content,
    after: AfterCursor,
    category: TitleCategory | None = None,
    genre: Genre | None = None,
    year: Year | None = None,
    limit: Limit = 20,
) -> TitlePage:
    chosen = TitleFilter("movie", category, genre or None, year)
    return _title_page(await content.titles(chosen, _place(after), limit))


@router.endpoint("content.series_list", cache_seconds=CATALOGUE_SECONDS)
async def series_list(
    content: Content,
    after: AfterCursor,
    category: TitleCategory | None = None,
    genre: Genre | None = None,
    year: Year | None = None,
    limit: Limit = 20,
) -> TitlePage:
    chosen = TitleFilter("series", category, genre or None, year)
    return _title_page(await content.titles(chosen, _place(after), limit))


@router.endpoint("content.movie", cache_seconds=CATALOGUE_SECONDS)
async def movie(content: Content, title_id: Id) -> Reply[TitleDetail]:
    return await _title(content, title_id, "movie")


@router.endpoint("content.series", cache_seconds=CATALOGUE_SECONDS)
async def series(content: Content, title_id: Id) -> Reply[TitleDetail]:
    return await _title(content, title_id, "series")


@router.endpoint("content.characters", cache_seconds=CATALOGUE_SECONDS)
async def characters(
    content: Content,
    after: AfterCursor,
    q: SearchText | None = None,
    title_id: Id | None = None,
    source: CharacterSource | None = None,
    limit: Limit = 20,
) -> CharacterPage:
    chosen = CharacterFilter(title_id, source)
    page = await content.characters(q, chosen, _place(after), limit)
    return CharacterPage(
        items=tuple(page.items), next_cursor=_next(page), has_more=page.last is not None
    )


@router.endpoint("content.character", cache_seconds=CATALOGUE_SECONDS)
async def character(content: Content, character_id: Id) -> Reply[CharacterDetail]:
    detail = await content.character(character_id)
    return Reply(detail, etag=weak_etag(detail.updated_at))


@router.endpoint("content.actors", cache_seconds=CATALOGUE_SECONDS)
async def actors(
    content: Content,
    after: AfterCursor,
    q: SearchText | None = None,
    limit: Limit = 20,
) -> ActorPage:
    page = await content.actors(q, _place(after), limit)
    return ActorPage(
        items=tuple(page.items), next_cursor=_next(page), has_more=page.last is not None
    )


@router.endpoint("content.actor", cache_seconds=CATALOGUE_SECONDS)
async def actor(content: Content, actor_id: Id) -> Reply[ActorDetail]:
    detail = await content.actor(actor_id)
    return Reply(detail, etag=weak_etag(detail.updated_at))


@router.endpoint("content.popular", cache_seconds=CATALOGUE_SECONDS)
async def popular(
    content: Content,
    type: ContentType = "character",  # noqa: A002 - the parameter's public name
    limit: Limit = 20,
) -> Popular:
    return Popular(type=type, items=tuple(await content.popular(type, limit)))


async def _title(content: ContentService, title_id: Id, format_: TitleFormat) -> Reply[TitleDetail]:
    detail = await content.title(title_id, format_)
    return Reply(detail, etag=weak_etag(detail.updated_at))


def _hit(found: Found) -> Hit:
    entry = found.entry
    return Hit.model_validate(
        {
            "kind": entry.kind.name.lower(),
            "id": entry.id,
            "name": entry.name,
            "subtitle": entry.subtitle,
            "image_url": entry.image_url,
            "popularity": entry.popularity,
            "match": found.match.name.lower(),
        }
    )


def _suggestion(found: Found) -> Suggestion:
    entry = found.entry
    return Suggestion.model_validate(
        {
            "kind": entry.kind.name.lower(),
            "id": entry.id,
            "text": entry.name,
            "subtitle": entry.subtitle,
            "image_url": entry.image_url,
        }
    )


def _title_page(page: Listing[Title]) -> TitlePage:
    return TitlePage(
        items=tuple(page.items), next_cursor=_next(page), has_more=page.last is not None
    )


def _place(after: Cursor | None) -> Place | None:
    return Place(after.number(), after.uuid()) if after is not None else None


def _next(page: Listing[T]) -> str | None:
    return Cursor.of(page.last.popularity, page.last.id).encode() if page.last else None


def _offset(after: Cursor | None) -> int:
    if after is None:
        return 0
    offset = after.integer()
    if after.id != NO_ID or not 0 <= offset <= MAX_OFFSET:
        raise CallerError(Code.MALFORMED_REQUEST, "The cursor is not valid")
    return offset
