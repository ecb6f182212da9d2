"""A large catalogue out of the shipped one, and queries as people type them; the same every time."""

from __future__ import annotations

import random
from uuid import UUID

from migrate.seed.catalogue import read_catalogue
from services.content.search.entries import Entry, Kind, Type
from shared.contract.norm import norm

SYLLABLES = [a + b for a in "bcdfghklmnprstvz" for b in ("a", "e", "i", "o", "u", "an", "er", "in")]
#: Half of the words of made-up titles are real ones, so that prefixes are as crowded as in life.
REAL_WORDS = 0.5


def entries(titles: int) -> list[Entry]:
    """The shipped catalogue, with made-up titles until there are `titles`, and as many people more."""
    rnd = random.Random(20)
    catalogue = read_catalogue()
    words = [word for title in catalogue.titles for word in title.title.split()]
    names = [actor.name.split() for actor in catalogue.actors if " " in actor.name]
    rows = [
        _entry(Kind.TITLE, title.id, title.title, title.popularity, str(title.year))
        for title in catalogue.titles
    ]
    rows += [
        _entry(Kind.CHARACTER, part.id, part.name, part.popularity, part.title.title)
        for part in catalogue.characters
    ]
    rows += [
        _entry(Kind.ACTOR, actor.id, actor.name, actor.popularity) for actor in catalogue.actors
    ]
    for _ in range(titles - len(catalogue.titles)):
        count = rnd.choice([1, 2, 2, 3, 3, 4, 5])
        title = " ".join(_word(rnd, words) for _ in range(count)).title()
        rows.append(
            _entry(Kind.TITLE, _id(rnd), title, rnd.random() * 30, str(rnd.randint(1920, 2025)))
        )
        person = f"{rnd.choice(names)[0]} {_word(rnd, [name[-1] for name in names[:400]]).title()}"
        kind = rnd.choice([Kind.CHARACTER, Kind.ACTOR])
        rows.append(_entry(kind, _id(rnd), person, rnd.random() * 30))
    return rows


def queries(rows: list[Entry], count: int, seed: int = 1) -> list[str]:
    """What is in the box while somebody types: beginnings of names and words, one in four with a typo."""
    rnd = random.Random(seed)
    made: list[str] = []
    while len(made) < count:
        name = rnd.choice(rows).name
        start = 0 if rnd.random() < 0.75 else name.rfind(" ") + 1
        text = name[start : start + rnd.randint(2, 16)].strip()
        if len(text) >= 4 and rnd.random() < 0.25:
            place = rnd.randrange(1, len(text))
            text = text[:place] + rnd.choice("aeiorstn") + text[place + 1 :]
        if norm(text):
            made.append(text)
    return made


def _entry(
    kind: Kind, id_: UUID, name: str, popularity: float, subtitle: str | None = None
) -> Entry:
    types = {Kind.TITLE: Type.MOVIE, Kind.CHARACTER: Type.CHARACTER, Kind.ACTOR: Type.ACTOR}
    return Entry(kind, str(id_), norm(name), name, round(popularity, 3), types[kind], subtitle)


def _word(rnd: random.Random, words: list[str]) -> str:
    if rnd.random() < REAL_WORDS:
        return rnd.choice(words)
    return "".join(rnd.choices(SYLLABLES, k=rnd.randint(1, 4)))


def _id(rnd: random.Random) -> UUID:
    return UUID(int=rnd.getrandbits(128), version=4)
