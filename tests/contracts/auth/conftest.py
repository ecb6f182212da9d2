"""One database with the whole schema for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.platform_database import one_for_all


@pytest.fixture(scope="session")
def platform_dsn(postgres_url: str) -> Iterator[str]:
    with one_for_all(postgres_url) as dsn:
        yield dsn
