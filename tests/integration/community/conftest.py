"""What the tests of the community service share: settings on the test's own servers."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from services.community.settings import CommunitySettings
from shared.events.worker import WorkerSettings
from shared.manifest import load_manifest
from shared.ratelimit.buckets import parse_rate_limits
from tests.support.people import SECRET

MANIFEST = load_manifest(Path("migration.toml"))
PUBLIC_URL = "https://api.example.com"
MakeWebSettings = Callable[..., CommunitySettings]
MakeWorkerSettings = Callable[..., WorkerSettings]


@pytest.fixture
def web_settings(redis_url: str, rabbitmq_url: str) -> MakeWebSettings:
    return lambda dsn, **changes: CommunitySettings(
        **(_values(dsn, redis_url, rabbitmq_url) | changes)
    )


@pytest.fixture
def worker_settings(redis_url: str, rabbitmq_url: str) -> MakeWorkerSettings:
    def of(dsn: str, **changes: Any) -> WorkerSettings:
        values = _values(dsn, redis_url, rabbitmq_url) | changes
        return WorkerSettings(**values, events_prefix=f"y{uuid.uuid4().hex[:10]}.")

    return of


def _values(dsn: str, redis_url: str, rabbitmq_url: str) -> dict[str, Any]:
    return {
        "shared_database_url": SecretStr(dsn),
        "redis_url": SecretStr(redis_url),
        "rabbitmq_url": SecretStr(rabbitmq_url),
        "jwt_secrets": (SecretStr(SECRET),),
        "public_base_url": PUBLIC_URL,
        "rate_limits": parse_rate_limits("off"),
        "port": 0,
        "drain_seconds": 5.0,
    }
