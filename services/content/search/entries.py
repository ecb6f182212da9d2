"""What can be found, and the words of the contract for it (2.4); pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, IntFlag


class Kind(IntEnum):
    """Tables of findable names, in the contract's order of ties."""

    TITLE = 0
    CHARACTER = 1
    ACTOR = 2


class Match(IntEnum):
    """How a query fits a name, best first."""

    EXACT = 0
    PREFIX = 1
    WORD = 2
    SUBSTRING = 3
    FUZZY = 4


class Type(IntFlag):
    """Values of `?type=`; a title answers to its format and to its category."""

    MOVIE = 1
    SERIES = 2
    ANIME = 4
    CARTOON = 8
    CHARACTER = 16
    ACTOR = 32


#: Kind of the objects that a type selects.
KIND_OF_TYPE = {
    Type.MOVIE: Kind.TITLE,
    Type.SERIES: Kind.TITLE,
    Type.ANIME: Kind.TITLE,
    Type.CARTOON: Kind.TITLE,
    Type.CHARACTER: Kind.CHARACTER,
    Type.ACTOR: Kind.ACTOR,
}

SortKey = tuple[float, str, int, str]


@dataclass(frozen=True, slots=True)
class Entry:
    """One findable name. `norm` is shared.contract.norm.norm(name); `id` a lower-case UUID."""

    kind: Kind
    id: str
    norm: str
    name: str
    popularity: float
    types: Type
    subtitle: str | None = None
    image_url: str | None = None
    title_id: str | None = None
    is_community: bool = False

    @property
    def key(self) -> tuple[Kind, str]:
        """Identity: ids are unique within a kind."""
        return self.kind, self.id

    @property
    def sort_key(self) -> SortKey:
        """Order within one class of matches (contract, 2.4)."""
        return -self.popularity, self.norm, self.kind, self.id


@dataclass(frozen=True, slots=True)
class Found:
    """One hit."""

    entry: Entry
    match: Match


def distance_bound(query: str) -> int:
    """Edits that a fuzzy match of a norm may have (contract, 2.4)."""
    return 0 if len(query) < 4 else 1 if len(query) < 8 else 2
