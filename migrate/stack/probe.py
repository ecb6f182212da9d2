"""One plain HTTP request to a process of ours; enough for readiness and metrics, no client library."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass

PROBE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class ProbeAnswer:
    """Status and body of an answer; status 0 means that nobody answered in time."""

    status: int
    body: bytes = b""


async def get(
    host: str,
    port: int,
    path: str,
    *,
    token: str | None = None,
    timeout_seconds: float = PROBE_SECONDS,
) -> ProbeAnswer:
    """GET over a connection of its own; never raises for what the other side does."""
    authorization = f"Authorization: Bearer {token}\r\n" if token else ""
    head = f"GET {path} HTTP/1.0\r\nHost: {host}:{port}\r\n{authorization}Connection: close\r\n\r\n"
    try:
        async with asyncio.timeout(timeout_seconds):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(head.encode())
                answer = await reader.read(-1)
            finally:
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()
    except (OSError, TimeoutError):
        return ProbeAnswer(0)
    line, _, rest = answer.partition(b"\r\n")
    words = line.split(b" ", 2)
    if len(words) < 2 or not words[1].isdigit():
        return ProbeAnswer(0)
    return ProbeAnswer(int(words[1]), rest.partition(b"\r\n\r\n")[2])
