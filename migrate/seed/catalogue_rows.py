"""The shipped catalogue as rows of titles, actors and characters, with plain texts; pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from migrate.seed.catalogue import (
    Catalogue,
    CatalogueActor,
    CatalogueCharacter,
    CatalogueTitle,
)
from shared.contract.norm import norm

Row = tuple[object, ...]

TITLE_COLUMNS = (
    "id", "format", "category", "title", "title_norm", "year", "overview", "genres", "popularity",
)  # fmt: skip
ACTOR_COLUMNS = ("id", "name", "name_norm", "bio", "popularity")
CHARACTER_COLUMNS = (
    "id", "name", "name_norm", "series", "title_id", "actor_id", "description", "popularity",
)  # fmt: skip
NAMED_PARTS = 3
_KIND = {
    ("movie", "live_action"): "film",
    ("movie", "anime"): "anime film",
    ("movie", "cartoon"): "animated film",
    ("series", "live_action"): "series",
    ("series", "anime"): "anime series",
    ("series", "cartoon"): "animated series",
}


def title_rows(catalogue: Catalogue) -> Iterator[Row]:
    """Rows in the order of TITLE_COLUMNS."""
    casts = _grouped(catalogue)
    for title in catalogue.titles:
        yield (
            title.id,
            title.format,
            title.category,
            title.title,
            norm(title.title),
            title.year,
            overview(title, casts.get(title, ())),
            list(title.genres),
            title.popularity,
        )


def actor_rows(catalogue: Catalogue) -> Iterator[Row]:
    """Rows in the order of ACTOR_COLUMNS."""
    parts: dict[CatalogueActor, list[CatalogueCharacter]] = defaultdict(list)
    for character in catalogue.characters:
        if character.actor is not None:
            parts[character.actor].append(character)
    for actor in catalogue.actors:
        yield (actor.id, actor.name, norm(actor.name), bio(parts[actor]), actor.popularity)


def character_rows(catalogue: Catalogue) -> Iterator[Row]:
    """Rows in the order of CHARACTER_COLUMNS."""
    for character in catalogue.characters:
        yield (
            character.id,
            character.name,
            norm(character.name),
            character.title.title,
            character.title.id,
            character.actor.id if character.actor is not None else None,
            description(character),
            character.popularity,
        )


def overview(title: CatalogueTitle, cast: Sequence[CatalogueCharacter]) -> str:
    """`Film of 1999 (science fiction, action) with Neo, Trinity and Morpheus.`"""
    kind = _KIND[title.format, title.category]
    genres = f" ({', '.join(title.genres)})" if title.genres else ""
    names = _listed([character.name for character in cast[:NAMED_PARTS]])
    return (
        f"{kind[0].upper()}{kind[1:]} of {title.year}{genres}{f' with {names}' if names else ''}."
    )


def description(character: CatalogueCharacter) -> str:
    """`Part in the film The Matrix (1999), played by Keanu Reeves.`"""
    title = character.title
    kind = _KIND[title.format, title.category]
    verb = "played" if title.category == "live_action" else "voiced"
    actor = f", {verb} by {character.actor.name}" if character.actor is not None else ""
    return f"Part in the {kind} {title.title} ({title.year}){actor}."


def bio(parts: Sequence[CatalogueCharacter]) -> str:
    """`Known as Neo in The Matrix (1999) and John Wick in John Wick (2014).`"""
    best = sorted(parts, key=lambda part: -part.popularity)[:NAMED_PARTS]
    names = [f"{part.name} in {part.title.title} ({part.title.year})" for part in best]
    return f"Known as {_listed(names)}."


def _grouped(catalogue: Catalogue) -> Mapping[CatalogueTitle, Sequence[CatalogueCharacter]]:
    casts: dict[CatalogueTitle, list[CatalogueCharacter]] = defaultdict(list)
    for character in catalogue.characters:
        casts[character.title].append(character)
    return casts


def _listed(names: Sequence[str]) -> str:
    return " and ".join(
        part for part in (", ".join(names[:-1]), names[-1] if names else "") if part
    )
