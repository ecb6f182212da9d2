"""The schema that both kinds of apps run on."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.platform_database import platform_database


@pytest.fixture
async def database_with_schema(postgres_url: str) -> AsyncIterator[str]:
    async with platform_database(postgres_url) as dsn:
        yield dsn
