"""JSON of the catalogue (contract, 2.0 and 2.4)."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from monolith.pages import PageQuery
from monolith.values import Identifier, Integer, Timestamp, Trimmed, Wire

Format = Literal["movie", "series"]
Category = Literal["live_action", "anime", "cartoon"]
HitKind = Literal["title", "character", "actor"]
Match = Literal["exact", "prefix", "word", "substring", "fuzzy"]
TypeName = Literal["movie", "series", "anime", "cartoon", "character", "actor"]
Source = Literal["catalogue", "community"]
SearchText = Annotated[Trimmed, Field(min_length=1, max_length=100)]
YEAR_MAX = 9999


class Title(Wire):
    id: UUID
    format: Format
    category: Category
    title: str
    year: int | None
    overview: str
    poster_url: str | None
    genres: list[str]
    popularity: float
    tmdb_id: int | None
    tvdb_id: int | None
    updated_at: Timestamp


class Character(Wire):
    id: UUID
    name: str
    series: str
    title_id: UUID | None
    actor_id: UUID | None
    actor_name: str | None
    description: str
    image_url: str | None
    popularity: float
    source: Source
    creator_id: UUID | None
    updated_at: Timestamp


class Actor(Wire):
    id: UUID
    name: str
    bio: str
    image_url: str | None
    popularity: float
    tmdb_id: int | None
    updated_at: Timestamp


class Hit(Wire):
    kind: HitKind
    id: UUID
    name: str
    subtitle: str | None
    image_url: str | None
    popularity: float
    match: Match


class SearchAnswer(Wire):
    items: list[Hit]
    next_cursor: str | None
    has_more: bool
    query: str


class Suggestion(Wire):
    kind: HitKind
    id: UUID
    text: str
    subtitle: str | None
    image_url: str | None


class AutocompleteAnswer(Wire):
    query: str
    suggestions: list[Suggestion]


class TitlePage(Wire):
    items: list[Title]
    next_cursor: str | None
    has_more: bool


class CharacterPage(Wire):
    items: list[Character]
    next_cursor: str | None
    has_more: bool


class ActorPage(Wire):
    items: list[Actor]
    next_cursor: str | None
    has_more: bool


class TitleDetail(Title):
    characters: list[Character]


class CharacterDetail(Character):
    title: Title | None


class Credit(Wire):
    title: Title
    characters: list[str]


class ActorDetail(Actor):
    filmography: list[Credit]


class PopularAnswer(Wire):
    type: TypeName
    items: list[Title] | list[Character] | list[Actor]


class SearchQuery(PageQuery):
    q: SearchText
    type: TypeName | None = None


class AutocompleteQuery(Wire):
    q: SearchText
    type: TypeName | None = None
    limit: Annotated[Integer, Field(ge=1, le=10)] = 8


class TitleQuery(PageQuery):
    category: Category | None = None
    genre: Trimmed | None = None
    year: Annotated[Integer, Field(ge=0, le=YEAR_MAX)] | None = None


class CharacterQuery(PageQuery):
    q: SearchText | None = None
    title_id: Identifier | None = None
    source: Source | None = None


class ActorQuery(PageQuery):
    q: SearchText | None = None


class PopularQuery(Wire):
    type: TypeName = "character"
    limit: Annotated[Integer, Field(ge=1, le=100)] = 20
