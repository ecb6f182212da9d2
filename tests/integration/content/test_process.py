from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parents[3]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


@contextmanager
def started(environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "services.content"],
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


def test_the_web_process_serves_and_ends_cleanly(
    catalogue_dsn: str, redis_url: str, rabbitmq_url: str
) -> None:
    port = free_port()
    environment = {
        "PORT": str(port),
        "SHARED_DATABASE_URL": catalogue_dsn,
        "REDIS_URL": redis_url,
        "RABBITMQ_URL": rabbitmq_url,
        "JWT_SECRETS": "x" * 32,
    }
    with started(environment) as process:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and process.poll() is None:
            try:
                if httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200:
                    break
            except httpx.TransportError:
                pass
            time.sleep(0.1)
        answer = httpx.get(f"http://127.0.0.1:{port}/api/autocomplete?q=matri")
        assert answer.json()["suggestions"][0]["text"] == "The Matrix"
        assert "server" not in answer.headers
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0


def test_missing_settings_are_all_named_and_nothing_starts() -> None:
    with started({}) as process:
        output, _ = process.communicate(timeout=30)
        assert process.returncode == 2
    for name in ("SHARED_DATABASE_URL", "REDIS_URL", "RABBITMQ_URL", "JWT_SECRETS"):
        assert name in output


def test_an_unreadable_manifest_stops_the_start(tmp_path: Path) -> None:
    environment = {
        "SHARED_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "REDIS_URL": "redis://127.0.0.1:1",
        "RABBITMQ_URL": "amqp://127.0.0.1:1",
        "JWT_SECRETS": "x" * 32,
        "MANIFEST": str(tmp_path / "absent.toml"),
    }
    with started(environment) as process:
        output, _ = process.communicate(timeout=30)
        assert process.returncode == 2
    assert "absent.toml" in output
