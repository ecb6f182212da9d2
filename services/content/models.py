"""Rows of titles, characters and actors as wire objects and as index entries; no SQL, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

import asyncpg

from services.content.search.entries import Entry, Kind, Type
from shared.contract.content import Actor, Character, Credit, Title

Row = asyncpg.Record | Mapping[str, Any]
TitleFormat = Literal["movie", "series"]

_TYPE_OF_FORMAT = {"movie": Type.MOVIE, "series": Type.SERIES}
_TYPE_OF_CATEGORY = {"anime": Type.ANIME, "cartoon": Type.CARTOON}


@dataclass(frozen=True, slots=True)
class Place:
    """The last row of a page of a list by popularity, then id, descending."""

    popularity: float
    id: UUID


@dataclass(frozen=True, slots=True)
class TitleFilter:
    """Which titles a list shows; None is no condition."""

    format: TitleFormat
    category: str | None = None
    genre: str | None = None
    year: int | None = None


@dataclass(frozen=True, slots=True)
class CharacterFilter:
    """Which characters a list shows; None is no condition."""

    title_id: UUID | None = None
    source: str | None = None

    def accepts(self, entry: Entry) -> bool:
        """The same decision for an entry of the index."""
        if self.title_id is not None and entry.title_id != str(self.title_id):
            return False
        return self.source is None or entry.is_community == (self.source == "community")


@dataclass(frozen=True, slots=True)
class PublishedCharacter:
    """What the community says about a character of its own (event character.published)."""

    id: UUID
    name: str
    universe: str
    description: str
    image_url: str | None
    creator_id: UUID


def title_of(row: Row) -> Title:
    return Title.model_validate(dict(row))


def character_of(row: Row) -> Character:
    return Character.model_validate(dict(row))


def actor_of(row: Row) -> Actor:
    return Actor.model_validate(dict(row))


def credit_of(row: Row) -> Credit:
    """A title row with one more column: the names of the actor's parts."""
    fields = dict(row)
    names = fields.pop("characters")
    return Credit(title=title_of(fields), characters=tuple(names))


def title_entry(row: Row) -> Entry:
    types = _TYPE_OF_FORMAT[row["format"]] | _TYPE_OF_CATEGORY.get(row["category"], Type(0))
    year = row["year"]
    return Entry(
        kind=Kind.TITLE,
        id=str(row["id"]),
        norm=row["title_norm"],
        name=row["title"],
        popularity=row["popularity"],
        types=types,
        subtitle=None if year is None else str(year),
        image_url=row["poster_url"],
    )


def character_entry(row: Row) -> Entry:
    title_id = row["title_id"]
    return Entry(
        kind=Kind.CHARACTER,
        id=str(row["id"]),
        norm=row["name_norm"],
        name=row["name"],
        popularity=row["popularity"],
        types=Type.CHARACTER,
        subtitle=row["series"] or None,
        image_url=row["image_url"],
        title_id=None if title_id is None else str(title_id),
        is_community=row["source"] == "community",
    )


def actor_entry(row: Row) -> Entry:
    return Entry(
        kind=Kind.ACTOR,
        id=str(row["id"]),
        norm=row["name_norm"],
        name=row["name"],
        popularity=row["popularity"],
        types=Type.ACTOR,
        image_url=row["image_url"],
    )
