"""What providers tell about titles, in our words; pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.content.models import TitleFormat

CAST_MAX = 15
#: A part is this much less popular than the part before it, as in the shipped catalogue.
PART_DECAY = 0.93
ANIMATION = 16  # TMDB's genre number
_GENRES = {"sci-fi": "science fiction", "kids": "family", "war & politics": "war"}
_NO_PARTS = frozenset({"", "self", "himself", "herself", "various", "narrator (voice)"})


@dataclass(frozen=True, slots=True)
class PartFacts:
    """A character, and who plays it."""

    name: str
    actor_tmdb_id: int
    actor_name: str
    actor_image_url: str | None
    popularity: float


@dataclass(frozen=True, slots=True)
class TitleFacts:
    """A movie or series as a provider knows it."""

    format: TitleFormat
    category: str
    title: str
    year: int | None
    overview: str
    poster_url: str | None
    genres: tuple[str, ...]
    popularity: float
    tmdb_id: int
    tvdb_id: int | None
    parts: tuple[PartFacts, ...]


def fame(votes: int) -> float:
    """0 … 100 out of a number of votes: 100 votes are 40, 10,000 are 80."""
    return round(min(20 * math.log10(1 + max(votes, 0)), 100.0), 3)


def title_facts(
    format_: TitleFormat, found: Mapping[str, Any], image_base_url: str
) -> TitleFacts | None:
    """A TMDB detail with its credits; None if it has no name."""
    name = str(found.get("title") or found.get("name") or "").strip()
    if not name:
        return None
    date = str(found.get("release_date") or found.get("first_air_date") or "")
    genres = [genre for genre in found.get("genres") or () if genre.get("name")]
    is_animated = any(genre.get("id") == ANIMATION for genre in genres)
    anime = "anime" if found.get("original_language") == "ja" else "cartoon"
    popularity = fame(int(found.get("vote_count") or 0))
    external = found.get("external_ids") or {}
    return TitleFacts(
        format=format_,
        category=anime if is_animated else "live_action",
        title=name,
        year=int(date[:4]) if date[:4].isdecimal() else None,
        overview=str(found.get("overview") or "").strip(),
        poster_url=_image(found.get("poster_path"), image_base_url),
        genres=tuple(dict.fromkeys(word for genre in genres for word in _genre(genre["name"]))),
        popularity=popularity,
        tmdb_id=int(found["id"]),
        tvdb_id=external.get("tvdb_id"),
        parts=_parts(_cast(found), popularity, image_base_url),
    )


def _cast(found: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    credits_ = found.get("credits") or found.get("aggregate_credits") or {}
    return sorted(credits_.get("cast") or (), key=lambda row: row.get("order", 999))


def _parts(
    cast: Sequence[Mapping[str, Any]], popularity: float, image_base_url: str
) -> tuple[PartFacts, ...]:
    parts: dict[str, PartFacts] = {}
    for row in cast:
        roles = row.get("roles") or [row]
        name = str(roles[0].get("character") or "").removesuffix("(voice)").strip()
        if name.casefold() in _NO_PARTS or name in parts or not row.get("name"):
            continue
        parts[name] = PartFacts(
            name=name,
            actor_tmdb_id=int(row["id"]),
            actor_name=str(row["name"]).strip(),
            actor_image_url=_image(row.get("profile_path"), image_base_url),
            popularity=round(popularity * PART_DECAY ** len(parts), 3),
        )
        if len(parts) == CAST_MAX:
            break
    return tuple(parts.values())


def _genre(name: str) -> list[str]:
    """`Sci-Fi & Fantasy` are two; animation is a category, no genre."""
    lower = name.casefold()
    words = [lower] if lower in _GENRES else lower.split(" & ")
    return [_GENRES.get(word, word) for word in words if word != "animation"]


def _image(path: object, base_url: str) -> str | None:
    return f"{base_url}{path}" if isinstance(path, str) and path.startswith("/") else None
