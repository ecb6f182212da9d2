"""A fake Dokku host per test, over one private PostgreSQL server per process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from shared.manifest import Manifest, load_manifest
from tests.dokku_host.host import FakeHost, make_host
from tests.dokku_host.postgres import Databases, private_server


@pytest.fixture(scope="session")
def databases() -> Iterator[Databases]:
    with private_server() as server:
        yield server


@pytest.fixture
def host(databases: Databases) -> Iterator[FakeHost]:
    """An empty host with the plugins installed."""
    yield make_host(databases)
    databases.clean()


@pytest.fixture(scope="session")
def manifest() -> Manifest:
    """The shipped one."""
    return load_manifest()
