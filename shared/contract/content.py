"""Wire models of the content domain (contract, 2.0 and 2.4)."""

from __future__ import annotations

from typing import Literal

from shared.contract.values import Id, Timestamp, WireModel

TitleFormat = Literal["movie", "series"]
TitleCategory = Literal["live_action", "anime", "cartoon"]
HitKind = Literal["title", "character", "actor"]
HitMatch = Literal["exact", "prefix", "word", "substring", "fuzzy"]
ContentType = Literal["movie", "series", "anime", "cartoon", "character", "actor"]
CharacterSource = Literal["catalogue", "community"]


class Title(WireModel):
    id: Id
    format: TitleFormat
    category: TitleCategory
    title: str
    year: int | None
    overview: str
    poster_url: str | None
    genres: tuple[str, ...]
    popularity: float
    tmdb_id: int | None
    tvdb_id: int | None
    updated_at: Timestamp


class Character(WireModel):
    id: Id
    name: str
    series: str
    title_id: Id | None
    actor_id: Id | None
    actor_name: str | None
    description: str
    image_url: str | None
    popularity: float
    source: CharacterSource
    creator_id: Id | None
    updated_at: Timestamp


class Actor(WireModel):
    id: Id
    name: str
    bio: str
    image_url: str | None
    popularity: float
    tmdb_id: int | None
    updated_at: Timestamp


class Hit(WireModel):
    kind: HitKind
    id: Id
    name: str
    subtitle: str | None
    image_url: str | None
    popularity: float
    match: HitMatch


class SearchPage(WireModel):
    items: tuple[Hit, ...]
    next_cursor: str | None
    has_more: bool
    query: str


class Suggestion(WireModel):
    kind: HitKind
    id: Id
    text: str
    subtitle: str | None
    image_url: str | None


class Suggestions(WireModel):
    query: str
    suggestions: tuple[Suggestion, ...]


class TitlePage(WireModel):
    items: tuple[Title, ...]
    next_cursor: str | None
    has_more: bool


class CharacterPage(WireModel):
    items: tuple[Character, ...]
    next_cursor: str | None
    has_more: bool


class ActorPage(WireModel):
    items: tuple[Actor, ...]
    next_cursor: str | None
    has_more: bool


class TitleDetail(Title):
    characters: tuple[Character, ...]


class CharacterDetail(Character):
    title: Title | None


class Credit(WireModel):
    title: Title
    characters: tuple[str, ...]


class ActorDetail(Actor):
    filmography: tuple[Credit, ...]


class Popular(WireModel):
    type: ContentType
    items: tuple[Title, ...] | tuple[Character, ...] | tuple[Actor, ...]
