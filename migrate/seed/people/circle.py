"""A circle: some hundred people who know each other; everything of one circle refers only to it; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from migrate.seed.people.chance import Chance
from migrate.seed.people.words import COUNTRIES, FIRST_NAMES, LAST_NAMES
from shared.contract.norm import norm

#: People of one circle; also the portion in which rows are made and loaded.
CIRCLE_PEOPLE = 500
#: How far back the first accounts go.
HISTORY = timedelta(days=400)
#: Share of people with the plans pro and max.
PRO_SHARE, MAX_SHARE = 0.12, 0.04


@dataclass(frozen=True, slots=True)
class Part:
    """A character that people talk with."""

    name: str
    series: str


@dataclass(frozen=True, slots=True)
class Person:
    """One account. `plan` is 0, 1 or 2; `diligence` multiplies everything that the person does."""

    number: int
    id: UUID
    name: str
    email: str
    country: str
    language: str
    created_at: datetime
    plan: int
    diligence: float
    favourites: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Circle:
    """People, the seed they come from, and the first moment after all that they did."""

    seed: int
    number: int
    people: tuple[Person, ...]
    until: datetime
    password_hash: str

    def chance(self, *words: object) -> Chance:
        """A stream for one subject of this circle."""
        return Chance(self.seed, self.number, *words)


def make_circle(
    seed: int,
    number: int,
    count: int,
    *,
    until: datetime,
    cast: Sequence[Part],
    password_hash: str,
) -> Circle:
    """The circle `number` with `count` people; `cast` by popularity, best known first."""
    first = number * CIRCLE_PEOPLE
    people = tuple(_person(seed, first + i, until, cast) for i in range(count))
    return Circle(seed, number, people, until, password_hash)


def email_of(seed: int, number: int) -> str:
    """The address of a person; example.com is reserved (RFC 2606)."""
    chance = Chance(seed, "name", number)
    first, last = chance.choice(FIRST_NAMES), chance.choice(LAST_NAMES)
    words = [norm(part).replace(" ", "") for part in (first, last)]
    plain = ".".join(words).encode("ascii", "ignore").decode()  # letters like ł have no other form
    return f"{plain}.{seed}.{number}@example.com"


def _person(seed: int, number: int, until: datetime, cast: Sequence[Part]) -> Person:
    named = Chance(seed, "name", number)
    name = f"{named.choice(FIRST_NAMES)} {named.choice(LAST_NAMES)}"
    chance = Chance(seed, "person", number)
    country, language = chance.choice(COUNTRIES)
    luck = chance.random()
    # Accounts become more frequent towards the present, as in a product that grows.
    age = HISTORY * (1 - chance.random() ** 0.5)
    return Person(
        number=number,
        id=chance.uuid(),
        name=name,
        email=email_of(seed, number),
        country=country,
        language=language,
        created_at=until - timedelta(hours=1) - age,
        plan=2 if luck < MAX_SHARE else 1 if luck < MAX_SHARE + PRO_SHARE else 0,
        diligence=min(chance.paretovariate(1.6) / 2, 8.0),
        favourites=tuple(_known(chance, cast) for _ in range(chance.randint(1, 6))),
    )


def _known(chance: Chance, cast: Sequence[Part]) -> Part:
    """Mostly one of the best-known characters."""
    return cast[int(chance.random() ** 2.5 * len(cast))]
