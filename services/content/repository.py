"""The SQL of the catalogue's public reads: lists, details, popular; knows no HTTP and no search."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import asyncpg

from services.content.models import (
    CharacterFilter,
    Place,
    TitleFilter,
    TitleFormat,
    actor_of,
    character_of,
    credit_of,
    title_of,
)
from shared.contract.content import Actor, Character, Credit, Title
from shared.placement import Database

CAST_MAX = 50  # contract, 2.4

_TITLE_COLUMNS = """t.id, t.format, t.category, t.title, t.year, t.overview, t.poster_url, t.genres,
 t.popularity, t.tmdb_id, t.tvdb_id, t.updated_at"""
_TITLES = f"SELECT {_TITLE_COLUMNS} FROM titles t"  # noqa: S608 - constants
_CHARACTERS = """SELECT c.id, c.name, c.series, c.title_id, c.actor_id, a.name AS actor_name,
 c.description, c.image_url, c.popularity, c.source, c.creator_id, c.updated_at
 FROM characters c LEFT JOIN actors a ON a.id = c.actor_id"""
_ACTORS = """SELECT a.id, a.name, a.bio, a.image_url, a.popularity, a.tmdb_id, a.updated_at
 FROM actors a"""
_FILMOGRAPHY = f"""SELECT {_TITLE_COLUMNS},
 array_agg(c.name ORDER BY c.popularity DESC, c.name) AS characters
 FROM characters c JOIN titles t ON t.id = c.title_id WHERE c.actor_id = $1
 GROUP BY t.id ORDER BY t.year DESC NULLS LAST, t.title, t.id"""  # noqa: S608 - constants


class _Query:
    """A SELECT that conditions are added to; values only ever become arguments."""

    def __init__(self, select: str, alias: str) -> None:
        self._select = select
        self._alias = alias
        self._conditions: list[str] = []
        self.arguments: list[object] = []

    def where(self, condition: str, *values: object) -> None:
        """`{}` in the condition stands for the number of the next argument."""
        first = len(self.arguments) + 1
        self._conditions.append(condition.format(*(f"${first + i}" for i in range(len(values)))))
        self.arguments.extend(values)

    def after(self, place: Place | None) -> None:
        """Only rows after a place in the order by popularity, then id, descending."""
        if place is not None:
            row = f"({self._alias}.popularity, {self._alias}.id)"
            self.where(row + " < ({}::double precision, {}::uuid)", place.popularity, place.id)

    def sql(self, rows: int) -> str:
        where = f" WHERE {' AND '.join(self._conditions)}" if self._conditions else ""
        alias = self._alias
        order = f" ORDER BY {alias}.popularity DESC, {alias}.id DESC LIMIT {int(rows)}"
        return self._select + where + order


class CatalogueRepository:
    """Reads of the database that owns the catalogue now."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def titles(self, chosen: TitleFilter, after: Place | None, rows: int) -> list[Title]:
        """At most `rows` titles by popularity, then id, descending."""
        query = _Query(_TITLES, "t")
        query.where("t.format = {}", chosen.format)
        if chosen.category is not None:
            query.where("t.category = {}", chosen.category)
        if chosen.genre is not None:
            query.where("{} = ANY (t.genres)", chosen.genre)
        if chosen.year is not None:
            query.where("t.year = {}", chosen.year)
        query.after(after)
        return [title_of(row) for row in await self._rows(query, rows)]

    async def characters(
        self, chosen: CharacterFilter, after: Place | None, rows: int
    ) -> list[Character]:
        """At most `rows` characters by popularity, then id, descending."""
        query = _Query(_CHARACTERS, "c")
        if chosen.title_id is not None:
            query.where("c.title_id = {}", chosen.title_id)
        if chosen.source is not None:
            query.where("c.source = {}", chosen.source)
        query.after(after)
        return [character_of(row) for row in await self._rows(query, rows)]

    async def actors(self, after: Place | None, rows: int) -> list[Actor]:
        """At most `rows` actors by popularity, then id, descending."""
        query = _Query(_ACTORS, "a")
        query.after(after)
        return [actor_of(row) for row in await self._rows(query, rows)]

    async def characters_with(self, ids: Sequence[UUID]) -> list[Character]:
        """The characters with these ids that still exist, in the order of the ids."""
        found = await self._database.fetch(_CHARACTERS + " WHERE c.id = ANY ($1::uuid[])", ids)
        rows = {row["id"]: row for row in found}
        return [character_of(rows[id_]) for id_ in ids if id_ in rows]

    async def actors_with(self, ids: Sequence[UUID]) -> list[Actor]:
        """The actors with these ids that still exist, in the order of the ids."""
        found = await self._database.fetch(_ACTORS + " WHERE a.id = ANY ($1::uuid[])", ids)
        rows = {row["id"]: row for row in found}
        return [actor_of(rows[id_]) for id_ in ids if id_ in rows]

    async def title(self, title_id: UUID, format_: TitleFormat | None = None) -> Title | None:
        sql = _TITLES + " WHERE t.id = $1 AND ($2::text IS NULL OR t.format = $2)"
        row = await self._database.fetchrow(sql, title_id, format_)
        return title_of(row) if row is not None else None

    async def cast(self, title_id: UUID) -> list[Character]:
        """The best-known characters of a title, at most CAST_MAX."""
        return await self.characters(CharacterFilter(title_id=title_id), None, CAST_MAX)

    async def character(self, character_id: UUID) -> Character | None:
        row = await self._database.fetchrow(_CHARACTERS + " WHERE c.id = $1", character_id)
        return character_of(row) if row is not None else None

    async def actor(self, actor_id: UUID) -> Actor | None:
        row = await self._database.fetchrow(_ACTORS + " WHERE a.id = $1", actor_id)
        return actor_of(row) if row is not None else None

    async def filmography(self, actor_id: UUID) -> list[Credit]:
        """Titles with the names of the actor's parts, newest year first, then by title."""
        return [credit_of(row) for row in await self._database.fetch(_FILMOGRAPHY, actor_id)]

    async def popular_titles(self, *, column: str, value: str, rows: int) -> list[Title]:
        """The first titles whose format or category (`column`) is `value`."""
        query = _Query(_TITLES, "t")
        query.where("t.format = {}" if column == "format" else "t.category = {}", value)
        return [title_of(row) for row in await self._rows(query, rows)]

    async def _rows(self, query: _Query, rows: int) -> list[asyncpg.Record]:
        return await self._database.fetch(query.sql(rows), *query.arguments)
