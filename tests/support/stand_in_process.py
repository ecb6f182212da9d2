"""A process with the stand-ins of all vendors, for tests."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

START_SECONDS = 60.0
WAIT_SECONDS = 10.0


@dataclass(frozen=True)
class StandIns:
    """Where the process listens and where it writes mail."""

    url: str
    smtp_port: int
    outbox: Path

    def get(self, path: str, **query: str) -> Any:
        return httpx.get(f"{self.url}{path}", params=query, timeout=WAIT_SECONDS).json()

    def status(self, path: str, headers: dict[str, str] | None = None) -> int:
        return httpx.get(f"{self.url}{path}", headers=headers, timeout=WAIT_SECONDS).status_code

    def direct(self, provider: str, url: str, secret: str) -> None:
        """Send this provider's deliveries to a receiver of the test."""
        body = {"url": url, "secret": secret}
        address = f"{self.url}/_webhooks/{provider}"
        httpx.put(address, json=body, timeout=WAIT_SECONDS).raise_for_status()

    def confirm_by_mail(self) -> None:
        """New people of Supabase have to read their mail first."""
        body = {"confirms_by_mail": True}
        httpx.put(f"{self.url}/_supabase", json=body, timeout=WAIT_SECONDS).raise_for_status()

    def reset(self) -> None:
        """As clean as new."""
        httpx.post(f"{self.url}/_reset", timeout=WAIT_SECONDS).raise_for_status()


@contextmanager
def stand_in_process(outbox: Path) -> Iterator[StandIns]:
    """The stand-ins on free ports; mail goes to `outbox` as well."""
    port, smtp_port = _free_port(), _free_port()
    environment = {
        **os.environ,
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "SMTP_PORT": str(smtp_port),
        "MAIL_OUTBOX": str(outbox),
        "PUBLIC_BASE_URL": "",
        "WEBHOOK_RETRY_SECONDS": "0.05,0.05,0.05",
        "SLOW_SECONDS": "0.1",
        "HOLD_SECONDS": "5",
    }
    command = [sys.executable, "-m", "migrate.stack.stand_ins"]
    child = subprocess.Popen(command, env=environment, cwd=Path(__file__).parents[2])
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_until_up(url, child)
        yield StandIns(url, smtp_port, outbox)
    finally:
        child.terminate()
        child.wait(timeout=WAIT_SECONDS)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_up(url: str, child: subprocess.Popen[bytes]) -> None:
    ends = time.monotonic() + START_SECONDS
    while time.monotonic() < ends:
        assert child.poll() is None, "the stand-ins ended at their start"
        try:
            if httpx.get(f"{url}/healthz", timeout=1.0).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.05)
    raise TimeoutError(url)
