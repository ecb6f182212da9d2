"""The stand-ins of the vendors as a process of their own, and what they were asked."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parents[3]


@contextmanager
def running_stand_ins() -> Iterator[str]:
    """The address of a process with the stand-ins of all vendors."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    changes = {"PORT": str(port), "HOST": "127.0.0.1", "SLOW_SECONDS": "0.4", "HOLD_SECONDS": "20"}
    child = subprocess.Popen(
        [sys.executable, "-m", "migrate.stack.stand_ins"], env=os.environ | changes, cwd=ROOT
    )
    url = f"http://127.0.0.1:{port}"
    try:
        ends = time.monotonic() + 30
        while True:
            assert child.poll() is None
            assert time.monotonic() < ends
            try:
                httpx.get(f"{url}/healthz").raise_for_status()
                break
            except httpx.HTTPError:
                time.sleep(0.05)
        yield url
    finally:
        child.terminate()
        child.wait(timeout=10)


def reset(stand_ins: str) -> None:
    httpx.post(f"{stand_ins}/_reset").raise_for_status()


def requests_to(stand_ins: str, vendor: str) -> list[Any]:
    return list(httpx.get(f"{stand_ins}/_requests", params={"vendor": vendor}).json())


def asked(stand_ins: str, vendor: str, about: str = "") -> list[Any]:
    """Bodies of the requests for replies with this text; those for suggestions left out."""
    rows = requests_to(stand_ins, vendor)
    bodies = [
        json.loads(row["body"])
        for row in rows
        if row["body"].startswith("{") and about in row["body"]
    ]
    return [body for body in bodies if "messages" in body and "suggest" not in json.dumps(body)]
