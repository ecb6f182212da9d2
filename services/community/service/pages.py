"""One page of a list and the place to go on from; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from services.community.models import Place, Row

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """`last` is the place after the items, None at the end of the list."""

    items: Sequence[T]
    last: Place | None


def cut(
    rows: Sequence[Row], limit: int, sort: str, id_: str = "id"
) -> tuple[Sequence[Row], Place | None]:
    """The rows of a page out of at most `limit` + 1, and the place of the last one if more follow."""
    page = rows[:limit]
    last = Place(page[-1][sort], page[-1][id_]) if len(rows) > limit else None
    return page, last
