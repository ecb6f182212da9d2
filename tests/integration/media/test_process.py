"""The processes of the media and community services: start, answer, end at SIGTERM."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from migrate.commands.db_migrate import prepare_store
from tests.integration.media.conftest import MANIFEST
from tests.support.platform_database import platform_database
from tests.support.served_app import free_port

ROOT = Path(__file__).resolve().parents[3]
START_SECONDS = 40


@contextmanager
def started(module: str, environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", module],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "DRAIN_LEAD_SECONDS": "0"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def ask(port: int, path: str) -> httpx.Response:
    return httpx.get(f"http://127.0.0.1:{port}{path}")


def until_ready(port: int, process: subprocess.Popen[str]) -> None:
    ends = time.monotonic() + START_SECONDS
    while time.monotonic() < ends and process.poll() is None:
        try:
            if ask(port, "/readyz").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise TimeoutError(process.poll())


@pytest.mark.parametrize("service", ["media", "community"])
async def test_the_web_process_serves_and_ends_cleanly(
    service: str, postgres_url: str, redis_url: str, rabbitmq_url: str, tmp_path: Path
) -> None:
    port = free_port()
    async with platform_database(postgres_url) as dsn:
        await prepare_store(dsn, MANIFEST, actor="tests")
        environment = {
            "PORT": str(port),
            "SHARED_DATABASE_URL": dsn,
            "REDIS_URL": redis_url,
            "RABBITMQ_URL": rabbitmq_url,
            "JWT_SECRETS": "x" * 32,
            "MEDIA_DIR": str(tmp_path),
        }
        with started(f"services.{service}", environment) as process:
            until_ready(port, process)
            paths = {"media": "/api/images", "community": "/api/notifications"}
            answer = ask(port, paths[service])
            assert answer.status_code == 401
            assert "server" not in answer.headers
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=20) == 0


@pytest.mark.parametrize("module", ["services.media", "services.community.worker"])
def test_missing_settings_are_all_named_and_nothing_starts(module: str) -> None:
    with started(module, {}) as process:
        output, _ = process.communicate(timeout=START_SECONDS)
        assert process.returncode == 2
    for name in ("SHARED_DATABASE_URL", "REDIS_URL", "RABBITMQ_URL", "JWT_SECRETS"):
        assert name in output
