"""Stories, rooms, scenarios, votes, notifications; owns their tables."""

from __future__ import annotations

from collections.abc import Sequence

from monolith.community import (
    characters,
    drafts,
    notices,
    room_socket,
    rooms,
    scenarios,
    stories,
)
from monolith.community.handlers import HANDLERS
from monolith.community.hub import RoomHub
from monolith.community.router import router
from monolith.context import Part
from monolith.domain import Domain
from monolith.settings import Settings

__all__ = [
    "DOMAIN",
    "characters",
    "drafts",
    "notices",
    "room_socket",
    "rooms",
    "scenarios",
    "stories",
]


def parts(settings: Settings) -> Sequence[Part]:
    return (RoomHub(settings),)


DOMAIN = Domain("community", router, parts, HANDLERS)
