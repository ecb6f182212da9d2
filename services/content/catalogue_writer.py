"""Writes what providers tell about a title: the title, its actors, its characters; SQL only.

Rows of the shipped catalogue have no TMDB id: they are recognised by name and year and adopted.
Rows that are as told stay untouched, so `updated_at` moves only with a change.
"""

from __future__ import annotations

from uuid import UUID

from services.content.providers.facts import PartFacts, TitleFacts
from shared.contract.norm import norm
from shared.placement.connection import Connection

_ADOPT_TITLE = """
UPDATE titles SET tmdb_id = $1 WHERE id = (
  SELECT id FROM titles WHERE format = $2 AND title_norm = $3 AND year IS NOT DISTINCT FROM $4
  AND tmdb_id IS NULL AND NOT EXISTS (SELECT 1 FROM titles WHERE format = $2 AND tmdb_id = $1)
  ORDER BY popularity DESC, id LIMIT 1)
"""
_PUT_TITLE = """
INSERT INTO titles AS t (format, category, title, title_norm, year, overview, poster_url, genres,
  popularity, tmdb_id, tvdb_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT (format, tmdb_id) DO UPDATE SET category = EXCLUDED.category, title = EXCLUDED.title,
  title_norm = EXCLUDED.title_norm, year = coalesce(EXCLUDED.year, t.year),
  overview = CASE WHEN EXCLUDED.overview = '' THEN t.overview ELSE EXCLUDED.overview END,
  poster_url = coalesce(EXCLUDED.poster_url, t.poster_url), genres = EXCLUDED.genres,
  popularity = EXCLUDED.popularity, tvdb_id = coalesce(EXCLUDED.tvdb_id, t.tvdb_id)
WHERE (t.category, t.title, t.title_norm, t.genres, t.popularity) IS DISTINCT FROM
  (EXCLUDED.category, EXCLUDED.title, EXCLUDED.title_norm, EXCLUDED.genres, EXCLUDED.popularity)
  OR t.year IS DISTINCT FROM coalesce(EXCLUDED.year, t.year)
  OR (EXCLUDED.overview <> '' AND t.overview <> EXCLUDED.overview)
  OR t.poster_url IS DISTINCT FROM coalesce(EXCLUDED.poster_url, t.poster_url)
  OR t.tvdb_id IS DISTINCT FROM coalesce(EXCLUDED.tvdb_id, t.tvdb_id)
"""
_TITLE_ID = "SELECT id FROM titles WHERE format = $1 AND tmdb_id = $2"
_ADOPT_ACTOR = """
UPDATE actors SET tmdb_id = $1 WHERE name_norm = $2 AND tmdb_id IS NULL
  AND NOT EXISTS (SELECT 1 FROM actors WHERE tmdb_id = $1)
  AND (SELECT count(*) FROM actors WHERE name_norm = $2) = 1
"""
_PUT_ACTOR = """
INSERT INTO actors AS a (name, name_norm, image_url, popularity, tmdb_id)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (tmdb_id) DO UPDATE SET name = EXCLUDED.name, name_norm = EXCLUDED.name_norm,
  image_url = coalesce(EXCLUDED.image_url, a.image_url),
  popularity = greatest(a.popularity, EXCLUDED.popularity)
WHERE (a.name, a.name_norm) IS DISTINCT FROM (EXCLUDED.name, EXCLUDED.name_norm)
  OR a.image_url IS DISTINCT FROM coalesce(EXCLUDED.image_url, a.image_url)
  OR a.popularity < EXCLUDED.popularity
"""
_ACTOR_ID = "SELECT id FROM actors WHERE tmdb_id = $1"
_FIND_PART = """
SELECT id, actor_id, image_url, popularity FROM characters
WHERE title_id = $1 AND source = 'catalogue' AND (name_norm = $2 OR actor_id = $3)
ORDER BY name_norm = $2 DESC, popularity DESC, id LIMIT 1
"""
_UPDATE_PART = """
UPDATE characters SET actor_id = $2, image_url = $3, popularity = $4 WHERE id = $1
"""
_INSERT_PART = """
INSERT INTO characters (name, name_norm, series, title_id, actor_id, image_url, popularity)
VALUES ($1, $2, $3, $4, $5, $6, $7)
"""


async def put_title(connection: Connection, facts: TitleFacts) -> UUID:
    """Write a title with its cast in the caller's transaction; the title's id."""
    name = norm(facts.title)
    await connection.execute(_ADOPT_TITLE, facts.tmdb_id, facts.format, name, facts.year)
    await connection.execute(
        _PUT_TITLE,
        facts.format,
        facts.category,
        facts.title,
        name,
        facts.year,
        facts.overview,
        facts.poster_url,
        list(facts.genres),
        facts.popularity,
        facts.tmdb_id,
        facts.tvdb_id,
    )
    title_id: UUID = await connection.fetchval(_TITLE_ID, facts.format, facts.tmdb_id)
    for part in facts.parts:
        await _put_part(connection, facts, title_id, part)
    return title_id


async def _put_part(
    connection: Connection, facts: TitleFacts, title_id: UUID, part: PartFacts
) -> None:
    actor_id = await _put_actor(connection, part)
    name = norm(part.name)
    found = await connection.fetchrow(_FIND_PART, title_id, name, actor_id)
    if found is None:
        await connection.execute(
            _INSERT_PART,
            part.name,
            name,
            facts.title,
            title_id,
            actor_id,
            part.actor_image_url,
            part.popularity,
        )
        return
    image = found["image_url"] or part.actor_image_url
    told = (actor_id, image, part.popularity)
    if (found["actor_id"], found["image_url"], found["popularity"]) != told:
        await connection.execute(_UPDATE_PART, found["id"], *told)


async def _put_actor(connection: Connection, part: PartFacts) -> UUID:
    name = norm(part.actor_name)
    await connection.execute(_ADOPT_ACTOR, part.actor_tmdb_id, name)
    await connection.execute(
        _PUT_ACTOR,
        part.actor_name,
        name,
        part.actor_image_url,
        part.popularity,
        part.actor_tmdb_id,
    )
    actor_id: UUID = await connection.fetchval(_ACTOR_ID, part.actor_tmdb_id)
    return actor_id
