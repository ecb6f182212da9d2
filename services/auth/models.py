"""Rows of accounts as wire objects, and what travels between the modules of auth; no SQL, no I/O."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from shared.contract.auth import User

Row = asyncpg.Record | Mapping[str, Any]
NAME_MAX = 80
EMAIL_MIN, EMAIL_MAX = 3, 320


@dataclass(frozen=True, slots=True)
class KnownAccount:
    """What signing in needs to know of the account that has an address."""

    id: UUID
    email: str
    password_hash: str | None
    confirmed: bool


@dataclass(frozen=True, slots=True)
class AccountFacts:
    """What others are told about an account."""

    email: str
    name: str | None
    referral_code: str


@dataclass(frozen=True, slots=True)
class ShownUser:
    """An account as its owner sees it, and when the latest change was that shows in it."""

    user: User
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody as an outside service knows them; email is None if it did not vouch for the address."""

    external_id: str
    email: str | None
    name: str | None


def known_account(row: Row) -> KnownAccount:
    return KnownAccount(row["id"], row["email"], row["password_hash"], row["confirmed"])


def user_of(row: Row, public_base_url: str) -> User:
    """The wire object; absolute addresses come from the settings, never from a header."""
    avatar = row["avatar_media_id"]
    return User(
        id=row["id"],
        email=row["email"] or "",
        name=row["name"],
        avatar_url=None if avatar is None else f"{public_base_url}/api/images/{avatar}/content",
        phone=row["phone"],
        country=row["country"],
        language=row["language"],
        birth_year=row["birth_year"],
        tier=row["tier"],
        premium=row["tier"],
        confirmed=row["confirmed"],
        referral_code=row["referral_code"],
        onboarding_status=row["onboarding_status"],
        preferences=json.loads(row["preferences"]),
        last_login_at=row["last_login_at"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def clean_name(name: str | None) -> str | None:
    """A name of somebody else's making, cut to what fits here."""
    return (name or "").replace("\x00", "").strip()[:NAME_MAX] or None


def is_usable_email(email: str | None) -> bool:
    """Whether an address of somebody else's making can be stored."""
    return email is not None and EMAIL_MIN <= len(email) <= EMAIL_MAX and "\x00" not in email
