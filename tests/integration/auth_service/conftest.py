"""The auth service on real servers, with the reference providers or with stand-ins of the vendors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import asyncpg
import pytest
from pydantic import SecretStr

from services.auth.settings import AuthSettings
from tests.support.people import STANDARD_SECRET
from tests.support.vendor_service import (
    common_values,
    database,
    dsn,
    process,
    role_dsn,
    stand_ins,
)

__all__ = ["common_values", "database", "dsn", "process", "role_dsn", "stand_ins"]


@pytest.fixture(scope="module")
def service() -> str:
    return "auth"


@pytest.fixture
def values(common_values: dict[str, Any]) -> dict[str, Any]:
    """What every process of the service is told."""
    return common_values | {
        "webhook_secrets_supabase": (SecretStr(STANDARD_SECRET),),
        "webhook_secrets_clerk": (SecretStr(STANDARD_SECRET),),
    }


@pytest.fixture
def web_settings(values: dict[str, Any]) -> Callable[..., AuthSettings]:
    return lambda **changes: AuthSettings(**(values | changes))


async def kinds(database: asyncpg.Connection) -> list[str]:
    """Types of what was published, in order."""
    return [row["type"] for row in await database.fetch("SELECT type FROM outbox ORDER BY id")]
