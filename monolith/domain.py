"""What a domain package hands to the app and to the worker; deleting the package deletes all of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from monolith.context import Context, Part
from monolith.database import Connection
from monolith.routes import DomainRouter
from monolith.settings import Settings
from monolith.webhooks.desk import Effect


@dataclass(frozen=True, slots=True)
class Event:
    """An envelope of contract, 4, read and checked."""

    id: UUID
    type: str
    time: str
    user_id: UUID | None
    request_id: str | None
    data: Mapping[str, Any]


# An effect runs in the transaction that also holds its inbox row.
EventHandler = Callable[[Context, Connection, Event], Awaitable[None]]
PartsOf = Callable[[Settings], Sequence[Part]]


@dataclass(frozen=True, slots=True)
class Schedule:
    """Work that the worker repeats."""

    name: str
    every_seconds: float
    run: Callable[[Context], Awaitable[None]]


def no_parts(_settings: Settings) -> Sequence[Part]:
    return ()


@dataclass(frozen=True, slots=True)
class Domain:
    """One line of monolith/domains.py."""

    name: str
    router: DomainRouter
    parts: PartsOf = no_parts
    handlers: Mapping[str, EventHandler] = field(default_factory=dict)
    schedules: tuple[Schedule, ...] = ()
    webhooks: Mapping[str, Effect] = field(default_factory=dict)  # provider -> effect
