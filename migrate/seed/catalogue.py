"""Reads the shipped catalogue and checks it as a whole; knows no database.

Two kinds of files per theme, UTF-8, tab separated, no header, facts only:

    titles_<theme>.tsv       format, category, title, year, genres separated by commas
    characters_<theme>.tsv   name, title, year, actor (empty where unknown)

A character refers to its title by name and year. Within a theme the best-known title stands first
and within a title the leading part: popularity follows from that order and from nothing else.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from migrate.seed.errors import CatalogueError, CatalogueProblem

FOLDER = Path(__file__).parent / "catalogue_files"
#: Ids are UUIDv5 under this namespace, so every system that loads the catalogue has the same ones.
NAMESPACE = uuid.UUID("6f1c0f0e-3a0b-5d0c-9b1e-2a6d5d3c7b10")
FORMATS = ("movie", "series")
CATEGORIES = ("live_action", "anime", "cartoon")
#: Years of the first moving pictures and of plausible announcements.
YEAR_MIN, YEAR_MAX = 1888, 2030
TOP_POPULARITY = 100.0
#: Place in a theme at which a title has half the popularity of the first one.
HALF_PLACE = 40
#: A part is this much less popular than the part before it in the same title.
PART_DECAY = 0.93


@dataclass(frozen=True, slots=True)
class CatalogueTitle:
    id: uuid.UUID
    format: str
    category: str
    title: str
    year: int
    genres: tuple[str, ...]
    popularity: float


@dataclass(frozen=True, slots=True)
class CatalogueActor:
    id: uuid.UUID
    name: str
    popularity: float


@dataclass(frozen=True, slots=True)
class CatalogueCharacter:
    id: uuid.UUID
    name: str
    title: CatalogueTitle
    actor: CatalogueActor | None
    popularity: float


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Everything that is shipped, in file order."""

    titles: tuple[CatalogueTitle, ...]
    actors: tuple[CatalogueActor, ...]
    characters: tuple[CatalogueCharacter, ...]


@dataclass(frozen=True, slots=True)
class _Line:
    file: str
    number: int
    fields: tuple[str, ...]

    def problem(self, message: str) -> CatalogueProblem:
        return CatalogueProblem(self.file, self.number, message)


@dataclass(frozen=True, slots=True)
class _Part:
    """A character before its actor's popularity is known."""

    name: str
    title: CatalogueTitle
    actor: str
    popularity: float


def read_catalogue(folder: Path = FOLDER) -> Catalogue:
    """The catalogue of a folder; raises CatalogueError with every problem found."""
    problems: list[CatalogueProblem] = []
    titles = _titles(folder, problems)
    parts = _parts(folder, titles, problems)
    if problems:
        raise CatalogueError(problems)
    actors = _actors(parts)
    return Catalogue(
        titles=tuple(titles.values()),
        actors=tuple(actors.values()),
        characters=tuple(
            CatalogueCharacter(
                id=_id(
                    "character", part.name, part.title.format, part.title.title, part.title.year
                ),
                name=part.name,
                title=part.title,
                actor=actors.get(part.actor),
                popularity=part.popularity,
            )
            for part in parts
        ),
    )


def title_popularity(place: int) -> float:
    """Popularity of the title at a place (from 0) of its theme: TOP, then falling hyperbolically."""
    return round(TOP_POPULARITY / (1 + place / HALF_PLACE), 3)


def part_popularity(title: float, place: int) -> float:
    """Popularity of the part at a place (from 0) of a title with that popularity."""
    return round(title * PART_DECAY**place, 3)


def _titles(
    folder: Path, problems: list[CatalogueProblem]
) -> dict[tuple[str, int], CatalogueTitle]:
    found: dict[tuple[str, int], CatalogueTitle] = {}
    for file in sorted(folder.glob("titles_*.tsv")):
        for place, line in enumerate(_lines(file, 5, problems)):
            form, category, title, year_text, genres = line.fields
            year = _year(year_text)
            if form not in FORMATS or category not in CATEGORIES or year is None or not title:
                problems.append(line.problem("unknown format or category, no title or bad year"))
            elif (title, year) in found:
                problems.append(line.problem(f"{title} ({year}) is there twice"))
            else:
                found[title, year] = CatalogueTitle(
                    id=_id("title", form, title, year),
                    format=form,
                    category=category,
                    title=title,
                    year=year,
                    genres=tuple(genre for genre in genres.split(",") if genre),
                    popularity=title_popularity(place),
                )
    return found


def _parts(
    folder: Path,
    titles: Mapping[tuple[str, int], CatalogueTitle],
    problems: list[CatalogueProblem],
) -> list[_Part]:
    parts: list[_Part] = []
    names: dict[tuple[str, int], set[str]] = defaultdict(set)
    for file in sorted(folder.glob("characters_*.tsv")):
        for line in _lines(file, 4, problems):
            name, title_name, year_text, actor = line.fields
            key = (title_name, _year(year_text) or 0)
            title = titles.get(key)
            if title is None:
                problems.append(line.problem(f"no title {title_name} ({year_text})"))
            elif not name or name in names[key]:
                problems.append(line.problem(f"{name!r} is empty or there twice in {title_name}"))
            else:
                place = len(names[key])
                names[key].add(name)
                parts.append(_Part(name, title, actor, part_popularity(title.popularity, place)))
    return parts


def _actors(parts: Sequence[_Part]) -> dict[str, CatalogueActor]:
    """An actor is as popular as the best part, and a little more for every further one."""
    played: dict[str, list[float]] = defaultdict(list)
    for part in parts:
        if part.actor:
            played[part.actor].append(part.popularity)
    return {
        name: CatalogueActor(
            id=_id("actor", name),
            name=name,
            popularity=round(max(scores) + 2.0 * (len(scores) - 1), 3),
        )
        for name, scores in played.items()
    }


def _lines(file: Path, columns: int, problems: list[CatalogueProblem]) -> Iterator[_Line]:
    for number, text in enumerate(file.read_text("utf-8").splitlines(), start=1):
        line = _Line(file.name, number, tuple(text.split("\t")))
        if len(line.fields) != columns or any(field != field.strip() for field in line.fields):
            problems.append(line.problem(f"needs {columns} trimmed columns"))
        else:
            yield line


def _year(text: str) -> int | None:
    year = int(text) if text.isascii() and text.isdecimal() else 0
    return year if YEAR_MIN <= year <= YEAR_MAX else None


def _id(*parts: object) -> uuid.UUID:
    return uuid.uuid5(NAMESPACE, "\x1f".join(str(part) for part in parts))
