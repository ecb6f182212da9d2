"""Reads the JSON of providers, which may hold anything anywhere; pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from shared.webhooks import Delivery

Json = Mapping[str, Any]
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def mapping(value: object) -> Json:
    return value if isinstance(value, Mapping) else {}


def reference(value: object) -> str | None:
    """An id, or the id of an expanded object."""
    found = value.get("id") if isinstance(value, Mapping) else value
    return found if isinstance(found, str) and found else None


def first_uuid(*candidates: object) -> UUID | None:
    """The first of the candidates that is an id of ours in form."""
    for candidate in candidates:
        if isinstance(candidate, str) and _UUID.fullmatch(candidate):
            return UUID(candidate)
    return None


def told_at(delivery: Delivery) -> datetime:
    """When the provider says that it happened."""
    return delivery.created or datetime.now(UTC)
