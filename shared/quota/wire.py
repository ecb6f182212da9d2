"""How unlimited is written in public JSON: here, at the last moment, and nowhere else; pure."""

from __future__ import annotations

from datetime import datetime

from shared.events.envelope import timestamp

#: Public JSON only (public contract, 1.7). In the data, unlimited is NULL.
UNLIMITED = -1


def shown(units: int | None) -> int:
    """Units as clients see them."""
    return UNLIMITED if units is None else units


def shown_time(moment: datetime) -> str:
    """A moment as clients see it: UTC, three fraction digits."""
    return timestamp(moment)
