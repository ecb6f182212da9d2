"""Deliveries about one person in every order: the account ends the same, and nobody comes back."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from itertools import permutations
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from services.auth.effects import webhook_effects
from services.auth.settings import AuthSettings
from shared.placement.service import open_service_database
from shared.webhooks import WebhookProcessor
from tests.integration.auth_service.conftest import kinds
from tests.support.vendor_service import MANIFEST


@pytest.fixture
async def processor(
    web_settings: Callable[..., AuthSettings], database: asyncpg.Connection
) -> AsyncIterator[WebhookProcessor]:
    async with open_service_database("auth", web_settings(), MANIFEST) as opened:
        yield WebhookProcessor(opened, webhook_effects())


def supabase(kind: str, name: str) -> dict[str, Any]:
    user = "0b8e0ad6-6c1d-4f3a-9f0e-6f2d6a1c7f10"
    data = {"id": user, "email": "s@example.com", "user_metadata": {"name": name}}
    return {"type": kind, "data": data}


def clerk(kind: str, name: str) -> dict[str, Any]:
    addresses = [{"id": "e", "email_address": "c@example.com"}]
    data = {"id": "user_1", "email_addresses": addresses, "first_name": name}
    return {"type": kind, "data": data}


async def play(
    database: asyncpg.Connection,
    processor: WebhookProcessor,
    provider: str,
    story: list[dict[str, Any]],
    order: tuple[int, ...],
) -> list[str]:
    """Deliver in an order, every one twice, then let the worker try what waits."""
    for number in order:
        event_id = f"msg_{uuid4()}"
        await database.execute(
            "INSERT INTO webhook_inbox (provider, event_id, event_type, raw, received_by)"
            " VALUES ($1, $2, $3, $4, 'service')",
            provider,
            event_id,
            story[number]["type"],
            json.dumps(story[number]).encode(),
        )
        await processor.process(provider, event_id)
        await processor.process(provider, event_id)
    await database.execute("UPDATE webhook_inbox SET received_at = now() - interval '1 hour'")
    await processor.sweep()
    rows = await database.fetch(
        "SELECT p.name FROM users u JOIN user_profiles p ON p.user_id = u.id"
        " WHERE u.deleted_at IS NULL"
    )
    assert not await database.fetchval(
        "SELECT count(*) FROM webhook_inbox WHERE status NOT IN ('processed')"
    )
    return [row["name"] for row in rows]


async def forget(database: asyncpg.Connection) -> None:
    await database.execute("TRUNCATE users, webhook_inbox, outbox CASCADE")


@pytest.mark.parametrize("make", [supabase, clerk])
async def test_a_late_creation_changes_nothing_that_is_known(
    database: asyncpg.Connection,
    processor: WebhookProcessor,
    make: Callable[[str, str], dict[str, Any]],
) -> None:
    story = [make("user.created", "First"), make("user.updated", "Second")]
    for order in permutations(range(2)):
        assert await play(database, processor, make.__name__, story, order) == ["Second"], order
        assert (await kinds(database)).count("user.created") == 1
        await forget(database)


@pytest.mark.parametrize("make", [supabase, clerk])
async def test_whoever_was_deleted_stays_deleted(
    database: asyncpg.Connection,
    processor: WebhookProcessor,
    make: Callable[[str, str], dict[str, Any]],
) -> None:
    story = [make("user.created", "A"), make("user.updated", "B"), make("user.deleted", "B")]
    for order in permutations(range(3)):
        assert await play(database, processor, make.__name__, story, order) == [], order
        told = await kinds(database)
        assert told.count("user.created") == told.count("user.deleted") <= 1, order
        await forget(database)
