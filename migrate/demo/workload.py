"""What clients of the demonstration ask for and what a good answer looks like; pure, sends nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any
from urllib.parse import quote

#: Share of each kind of request, out of 100. Sign-ins and refreshes are rare, as they are in an app.
MIX: Mapping[str, int] = {
    "content.search": 28,
    "content.autocomplete": 22,
    "content.movies": 8,
    "content.movie": 9,
    "content.series_list": 3,
    "content.characters": 6,
    "content.character": 5,
    "content.actors": 2,
    "content.popular": 4,
    "auth.me": 12,
    "auth.refresh": 1,
}


@dataclass(frozen=True, slots=True)
class Call:
    """One request. `is_fixed` means that every answer to it must be the same, whoever gives it."""

    route: str
    method: str
    target: str
    body: bytes = b""
    needs_token: bool = False
    is_fixed: bool = False
    statuses: frozenset[int] = frozenset({200})


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What the catalogue offers to ask for; taken from the API itself before the load."""

    movies: Sequence[Mapping[str, Any]] = ()
    characters: Sequence[Mapping[str, Any]] = ()
    actors: Sequence[Mapping[str, Any]] = ()
    names: Sequence[str] = field(default=())


def make_call(route: str, words: Vocabulary, random: Random, refresh_token: str) -> Call:
    """A request for a route, drawn from the vocabulary."""
    if route.startswith("content."):
        return Call(route, "GET", _CONTENT[route](words, random), is_fixed=True)
    if route == "auth.refresh":
        body = json.dumps({"refresh_token": refresh_token}).encode()
        return Call(route, "POST", "/api/auth/refresh", body)
    return Call(route, "GET", _AUTH[route], needs_token=True)


def mix_of(prefixes: str) -> dict[str, int]:
    """The part of MIX whose routes begin with one of the comma-separated prefixes."""
    return {route: MIX[route] for route in MIX if route.startswith(tuple(prefixes.split(",")))}


def draw_route(mix: Mapping[str, int], random: Random) -> str:
    """A route by the shares of a mix."""
    return random.choices(list(mix), weights=list(mix.values()))[0]


def query_text(words: Vocabulary, random: Random) -> str:
    """What somebody types: a whole name, its beginning, one word of it, or a slip of the finger."""
    name = random.choice(words.names)
    match random.randrange(4):
        case 0:
            return name[:100]
        case 1:
            return name[: random.randint(2, 6)].strip() or name
        case 2:
            return random.choice(name.split())
        case _:
            return with_typo(name[:40], random)


def with_typo(text: str, random: Random) -> str:
    """The text with two neighbouring letters exchanged; short texts stay."""
    if len(text) < 6:
        return text
    at = random.randrange(1, len(text) - 2)
    return text[:at] + text[at + 1] + text[at] + text[at + 2 :]


def _search(words: Vocabulary, random: Random) -> str:
    kind = random.choice(("", "", "&type=movie", "&type=character", "&type=actor"))
    return f"/api/search?q={quote(query_text(words, random))}{kind}&limit={random.choice((10, 20))}"


def _autocomplete(words: Vocabulary, random: Random) -> str:
    name = random.choice(words.names)
    return f"/api/autocomplete?q={quote(name[: random.randint(1, 8)].strip() or name)}"


_AUTH = {"auth.me": "/api/auth/users/me"}
_CONTENT: dict[str, Callable[[Vocabulary, Random], str]] = {
    "content.search": _search,
    "content.autocomplete": _autocomplete,
    "content.movies": lambda _, r: f"/api/resources/movies?limit={r.choice((10, 20, 50))}",
    "content.movie": lambda w, r: f"/api/resources/movies/{r.choice(w.movies)['id']}",
    "content.series_list": lambda _, r: f"/api/resources/series?limit={r.choice((10, 20))}",
    "content.characters": lambda _, r: f"/api/resources/characters?limit={r.choice((10, 20))}",
    "content.character": lambda w, r: f"/api/resources/characters/{r.choice(w.characters)['id']}",
    "content.actors": lambda _, r: f"/api/resources/actors?limit={r.choice((10, 20))}",
    "content.popular": lambda _, r: (
        f"/api/resources/popular?type={r.choice(('movie', 'series', 'character'))}"
    ),
}

#: Fields that a good answer must have, by route.
FIELDS: Mapping[str, tuple[str, ...]] = {
    "content.search": ("items", "next_cursor", "has_more", "query"),
    "content.autocomplete": ("query", "suggestions"),
    "content.movies": ("items", "next_cursor", "has_more"),
    "content.movie": ("id", "title", "characters"),
    "content.series_list": ("items", "next_cursor", "has_more"),
    "content.characters": ("items", "next_cursor", "has_more"),
    "content.character": ("id", "name", "title"),
    "content.actors": ("items", "next_cursor", "has_more"),
    "content.popular": ("type", "items"),
    "auth.me": ("id", "email", "tier"),
    "auth.refresh": ("access_token", "refresh_token"),
}


def fault_of(call: Call, status: int, body: bytes) -> str | None:
    """What is wrong with an answer, in a few words; None when it is good."""
    if status not in call.statuses:
        return f"status {status}"
    try:
        data = json.loads(body)
    except ValueError:
        return "body is not JSON"
    if not isinstance(data, dict):
        return "body is not an object"
    missing = [name for name in FIELDS[call.route] if name not in data]
    return f"no field {missing[0]}" if missing else None
