"""One schema for the tests of this folder."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.support.platform_database import platform_database


@pytest.fixture(scope="session")
def platform_dsn(postgres_url: str) -> Iterator[str]:
    with asyncio.Runner() as runner:
        database = platform_database(postgres_url)
        yield runner.run(database.__aenter__())
        runner.run(database.__aexit__(None, None, None))
