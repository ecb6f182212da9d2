"""Rows of titles, characters and actors as the objects of the contract."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from monolith.content.models import Actor, Character, Credit, Title
from monolith.database import Database, Row
from monolith.pages import Cursor, number_sort

TITLE = """SELECT id, format, category, title, year, overview, poster_url, genres, popularity,
  tmdb_id, tvdb_id, updated_at FROM titles"""
CHARACTER = """SELECT c.id, c.name, c.series, c.title_id, c.actor_id, a.name AS actor_name,
  c.description, c.image_url, c.popularity, c.source, c.creator_id, c.updated_at
  FROM characters c LEFT JOIN actors a ON a.id = c.actor_id"""
ACTOR = "SELECT id, name, bio, image_url, popularity, tmdb_id, updated_at FROM actors"
CAST_MAX = 50
FILMOGRAPHY = """
SELECT t.id, t.format, t.category, t.title, t.year, t.overview, t.poster_url, t.genres,
  t.popularity, t.tmdb_id, t.tvdb_id, t.updated_at,
  array_agg(c.name ORDER BY c.popularity DESC, c.name) AS characters
FROM characters c JOIN titles t ON t.id = c.title_id WHERE c.actor_id = $1
GROUP BY t.id ORDER BY t.year DESC NULLS LAST, t.title, t.id"""


def title_of(row: Row | Mapping[str, Any]) -> Title:
    return Title(**dict(row))


def character_of(row: Row) -> Character:
    return Character(**dict(row))


def actor_of(row: Row) -> Actor:
    return Actor(**dict(row))


def by_popularity(row: Row) -> Cursor:
    return Cursor(number_sort(row["popularity"]), str(row["id"]))


class Conditions:
    """The WHERE clause of a list, grown one condition at a time."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self.arguments: list[object] = []

    def add(self, text: str, *values: object) -> None:
        """Add a condition; `{}` stands for the next argument's number."""
        first = len(self.arguments) + 1
        numbers = [f"${first + offset}" for offset in range(len(values))]
        self._texts.append(text.format(*numbers))
        self.arguments.extend(values)

    def after(self, cursor: Cursor | None, prefix: str = "") -> None:
        """Only rows after the cursor, by popularity, then id, descending."""
        if cursor is not None:
            columns = f"({prefix}popularity, {prefix}id)"
            self.add(columns + " < ({}, {})", cursor.decimal(), cursor.uuid())

    def clause(self) -> str:
        return " WHERE " + " AND ".join(self._texts) if self._texts else ""


async def list_rows(
    database: Database, select: str, conditions: Conditions, limit: int, prefix: str = ""
) -> list[Row]:
    """One row more than the page needs, by popularity, then id, descending."""
    order = f" ORDER BY {prefix}popularity DESC, {prefix}id DESC LIMIT {int(limit) + 1}"
    return await database.fetch(select + conditions.clause() + order, *conditions.arguments)


async def cast_of(database: Database, title_id: UUID) -> list[Character]:
    rows = await database.fetch(
        CHARACTER
        + f" WHERE c.title_id = $1 ORDER BY c.popularity DESC, c.id DESC LIMIT {CAST_MAX}",
        title_id,
    )
    return [character_of(row) for row in rows]


async def filmography_of(database: Database, actor_id: UUID) -> list[Credit]:
    rows = await database.fetch(FILMOGRAPHY, actor_id)
    return [_credit(row) for row in rows]


def _credit(row: Row) -> Credit:
    fields = dict(row)
    names: Sequence[str] = fields.pop("characters")
    return Credit(title=title_of(fields), characters=list(names))
