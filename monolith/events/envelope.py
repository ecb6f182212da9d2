"""Reads the body of an event (contract, 4); pure."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from monolith.domain import Event
from monolith.values import RFC3339, UUID_TEXT

VERSION_MAX = 1  # all events are version 1 today; a higher one is not for this code


class UnreadableError(ValueError):
    """The body is no event, or one from the future: it is parked at once."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason  # `unreadable` or `version`


def read_body(body: bytes) -> Event:
    """Parse a message; raises UnreadableError and nothing else."""
    try:
        envelope = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UnreadableError("unreadable", "not JSON") from error
    return read_envelope(envelope)


def read_envelope(envelope: object) -> Event:
    if not isinstance(envelope, dict):
        raise UnreadableError("unreadable", "not an object")
    identity, kind, data = envelope.get("id"), envelope.get("type"), envelope.get("data")
    version, time = envelope.get("version", 1), envelope.get("time")
    if not isinstance(identity, str) or UUID_TEXT.fullmatch(identity) is None:
        raise UnreadableError("unreadable", "no id")
    if not isinstance(kind, str) or not isinstance(data, dict):
        raise UnreadableError("unreadable", "no type or data")
    if not isinstance(time, str) or RFC3339.fullmatch(time) is None:
        raise UnreadableError("unreadable", "no time")
    if not isinstance(version, int) or version > VERSION_MAX:
        raise UnreadableError("version", f"version {version} is newer than {VERSION_MAX}")
    return Event(
        UUID(identity),
        kind,
        time,
        _user(envelope.get("subject")),
        _text(envelope, "requestid"),
        data,
    )


def _user(subject: Any) -> UUID | None:
    if isinstance(subject, str) and UUID_TEXT.fullmatch(subject):
        return UUID(subject)
    return None


def _text(envelope: dict[str, Any], name: str) -> str | None:
    value = envelope.get(name)
    return value if isinstance(value, str) else None
