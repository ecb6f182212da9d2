"""Routes of an nginx configuration: its `location` blocks with `proxy_pass`; pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from migrate.skeleton.found import (
    METHODS,
    FoundRoute,
    UnreadableSourceError,
    clean_path,
    guess_kind,
)

_TOKEN = re.compile(r"""#[^\n]*|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[{};]|[^\s{};"'#]+""")


@dataclass(frozen=True, slots=True)
class Directive:
    """One directive: its words, and the block behind it."""

    words: tuple[str, ...]
    block: tuple[Directive, ...]


def parse(text: str) -> tuple[Directive, ...]:
    """The directives of a configuration; raises UnreadableSourceError at a bracket without its twin."""
    tokens = [token for token in _TOKEN.findall(text) if not token.startswith("#")]
    directives, rest = _block(tokens, 0)
    if rest != len(tokens):
        raise UnreadableSourceError("the nginx configuration has a } too many")
    return directives


def _block(tokens: Sequence[str], place: int) -> tuple[tuple[Directive, ...], int]:
    found: list[Directive] = []
    words: list[str] = []
    while place < len(tokens):
        word = tokens[place]
        place += 1
        if word == ";":
            found.append(Directive(tuple(words), ()))
            words = []
        elif word == "{":
            inner, place = _block(tokens, place)
            if place >= len(tokens) or tokens[place] != "}":
                raise UnreadableSourceError("the nginx configuration has a { without its }")
            place += 1
            found.append(Directive(tuple(words), inner))
            words = []
        elif word == "}":
            return tuple(found), place - 1
        else:
            words.append(word.strip("\"'"))
    return tuple(found), place


def read_nginx(text: str) -> tuple[FoundRoute, ...]:
    """Every location that is passed on; prefixes become `path` and `path/*`."""
    found = tuple(_locations(parse(text)))
    if not found:
        raise UnreadableSourceError("the nginx configuration has no location with proxy_pass")
    return found


def _locations(directives: Sequence[Directive]) -> Iterator[FoundRoute]:
    for directive in directives:
        if directive.words[:1] == ("location",):
            target = next(
                (d.words[1] for d in directive.block if d.words[:1] == ("proxy_pass",)), ""
            )
            if target:
                yield from _routes(directive, target)
        yield from _locations(directive.block)


def _routes(location: Directive, target: str) -> Iterator[FoundRoute]:
    modifier, path = ("", location.words[-1]) if len(location.words) == 2 else location.words[-2:]
    note = f"nginx location {' '.join(location.words[1:])} to {target}"
    clean = clean_path(path)
    if modifier.startswith("~") or clean is None:
        if path != "/":  # the catch-all is the monolith itself
            yield FoundRoute("", path, "", "", note=f"{note}: write it by hand")
        return
    off = any(d.words[:2] == ("proxy_buffering", "off") for d in location.block)
    upgrade = any(d.words[:2] == ("proxy_set_header", "Upgrade") for d in location.block)
    for method in _methods(location):
        kind = (
            "websocket" if upgrade and method == "GET" else guess_kind(method, clean, streams=off)
        )
        auth = "signature" if kind == "webhook" else "public"
        yield FoundRoute(method, clean, kind, auth, note=note)
        if modifier != "=":
            yield FoundRoute(method, f"{clean}/*", kind, auth, note=note)


def _methods(location: Directive) -> tuple[str, ...]:
    """Those of `limit_except`, which lets GET in also where it is not named with HEAD."""
    for directive in location.block:
        if directive.words[:1] == ("limit_except",):
            return tuple(m for m in METHODS if m in directive.words[1:])
    return METHODS
