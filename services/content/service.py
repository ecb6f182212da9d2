"""What the content domain answers: joins the index and the tables; knows no HTTP and no SQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar
from uuid import UUID

from services.content.index_keeper import IndexKeeper
from services.content.models import CharacterFilter, Place, TitleFilter, TitleFormat
from services.content.repository import CatalogueRepository
from services.content.search.entries import Entry, Found, Type
from shared.contract.content import (
    Actor,
    ActorDetail,
    Character,
    CharacterDetail,
    ContentType,
    Title,
    TitleDetail,
)
from shared.errors import not_found

T = TypeVar("T")

_TYPES: dict[ContentType, Type] = {
    "movie": Type.MOVIE,
    "series": Type.SERIES,
    "anime": Type.ANIME,
    "cartoon": Type.CARTOON,
    "character": Type.CHARACTER,
    "actor": Type.ACTOR,
}


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """One page of a list by popularity; `last` is the place to go on from, None at the end."""

    items: Sequence[T]
    last: Place | None


class ContentService:
    """Reads of the content domain."""

    def __init__(self, repository: CatalogueRepository, index: IndexKeeper) -> None:
        self._repository = repository
        self._index = index

    def search(self, query: str, kind: ContentType | None, offset: int, count: int) -> list[Found]:
        """Hits offset … offset + count in the contract's order."""
        return self._index.search(query, _TYPES[kind] if kind else None, offset, count)

    async def titles(self, chosen: TitleFilter, after: Place | None, limit: int) -> Listing[Title]:
        return _listing(await self._repository.titles(chosen, after, limit + 1), limit)

    async def characters(
        self, query: str | None, chosen: CharacterFilter, after: Place | None, limit: int
    ) -> Listing[Character]:
        if query is None:
            return _listing(await self._repository.characters(chosen, after, limit + 1), limit)
        fitting = [e for e in self._index.matching(query, Type.CHARACTER) if chosen.accepts(e)]
        ids, last = _cut(fitting, after, limit)
        return Listing(await self._repository.characters_with(ids), last)

    async def actors(self, query: str | None, after: Place | None, limit: int) -> Listing[Actor]:
        if query is None:
            return _listing(await self._repository.actors(after, limit + 1), limit)
        ids, last = _cut(self._index.matching(query, Type.ACTOR), after, limit)
        return Listing(await self._repository.actors_with(ids), last)

    async def title(self, title_id: UUID, format_: TitleFormat) -> TitleDetail:
        title = await self._repository.title(title_id, format_)
        if title is None:
            raise not_found("movie" if format_ == "movie" else "series")
        cast = await self._repository.cast(title_id)
        return TitleDetail.model_validate({**dict(title), "characters": tuple(cast)})

    async def character(self, character_id: UUID) -> CharacterDetail:
        character = await self._repository.character(character_id)
        if character is None:
            raise not_found("character")
        title_id = character.title_id
        title = await self._repository.title(title_id) if title_id is not None else None
        return CharacterDetail.model_validate({**dict(character), "title": title})

    async def actor(self, actor_id: UUID) -> ActorDetail:
        actor = await self._repository.actor(actor_id)
        if actor is None:
            raise not_found("actor")
        credits_ = await self._repository.filmography(actor_id)
        return ActorDetail.model_validate({**dict(actor), "filmography": tuple(credits_)})

    async def popular(
        self, kind: ContentType, limit: int
    ) -> list[Title] | list[Character] | list[Actor]:
        if kind == "actor":
            return await self._repository.actors(None, limit)
        if kind == "character":
            return await self._repository.characters(CharacterFilter(), None, limit)
        column = "format" if kind in ("movie", "series") else "category"
        return await self._repository.popular_titles(column=column, value=kind, rows=limit)


def _listing(rows: list[T], limit: int) -> Listing[T]:
    """A page of `limit` out of at most one row more."""
    items = rows[:limit]
    return Listing(items, _place(items[-1]) if len(rows) > limit else None)


def _place(item: object) -> Place:
    assert isinstance(item, Title | Character | Actor)  # noqa: S101 - the only lists there are
    return Place(item.popularity, item.id)


def _cut(
    entries: Sequence[Entry], after: Place | None, limit: int
) -> tuple[list[UUID], Place | None]:
    """Ids of one page of entries that come by popularity, then id, descending."""
    if after is not None:
        place = (after.popularity, str(after.id))
        entries = [entry for entry in entries if (entry.popularity, entry.id) < place]
    page = entries[:limit]
    last = Place(page[-1].popularity, UUID(page[-1].id)) if len(entries) > limit else None
    return [UUID(entry.id) for entry in page], last
