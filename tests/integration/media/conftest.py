"""What the tests of the media service share: settings on the test's own servers and folder."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from services.media.settings import MediaSettings, MediaWorkerSettings
from shared.manifest import load_manifest
from shared.ratelimit.buckets import parse_rate_limits
from tests.support.people import SECRET

MANIFEST = load_manifest(Path("migration.toml"))
PUBLIC_URL = "https://api.example.com"
Values = Callable[..., dict[str, Any]]


@pytest.fixture
def values(redis_url: str, rabbitmq_url: str, tmp_path: Path) -> Values:
    """Settings that web process and worker share."""

    def of(dsn: str, **changes: Any) -> dict[str, Any]:
        return {
            "shared_database_url": SecretStr(dsn),
            "redis_url": SecretStr(redis_url),
            "rabbitmq_url": SecretStr(rabbitmq_url),
            "jwt_secrets": (SecretStr(SECRET),),
            "public_base_url": PUBLIC_URL,
            "rate_limits": parse_rate_limits("off"),
            "media_dir": tmp_path / "files",
        } | changes

    return of


@pytest.fixture
def web_settings(values: Values) -> Callable[..., MediaSettings]:
    return lambda dsn, **changes: MediaSettings(**values(dsn, **changes))


@pytest.fixture
def worker_settings(values: Values) -> Callable[..., MediaWorkerSettings]:
    def of(dsn: str, **changes: Any) -> MediaWorkerSettings:
        prefix = f"m{uuid.uuid4().hex[:10]}."
        return MediaWorkerSettings(**values(dsn, events_prefix=prefix, **changes))

    return of
