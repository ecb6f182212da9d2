"""Servers for the tests: real PostgreSQL, Redis and RabbitMQ, taken from TEST_*_URL or started privately."""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest


@pytest.fixture(scope="session")
def postgres_url() -> str:
    """Superuser DSN of a private server with wal_level=logical."""
    return os.environ["TEST_POSTGRES_URL"]


@pytest.fixture(scope="session")
def redis_url() -> str:
    return os.environ["TEST_REDIS_URL"]


@pytest.fixture(scope="session")
def rabbitmq_url() -> str:
    return os.environ["TEST_RABBITMQ_URL"]


@pytest.fixture
async def database(postgres_url: str) -> AsyncIterator[str]:
    """DSN of an empty database of the test's own, dropped afterwards."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    admin = await asyncpg.connect(postgres_url)
    try:
        await admin.execute(f'CREATE DATABASE "{name}"')
        yield urlunsplit(urlsplit(postgres_url)._replace(path=f"/{name}"))
        await admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    finally:
        await admin.close()
