"""Active health checks of an app's addresses over connections of their own; decides nothing."""

from __future__ import annotations

import asyncio
import contextlib

import structlog

from router.addresses import Address, AddressList

#: Pause between two rounds and the time that one check may take, in seconds.
INTERVAL_SECONDS = 5.0
TIMEOUT_SECONDS = 2.0

log = structlog.get_logger("router.health")


async def keep_checking(name: str, addresses: AddressList, path: str, host: str) -> None:
    """Check every address of an app again and again, until cancelled."""
    while True:
        await asyncio.sleep(INTERVAL_SECONDS)
        entries = tuple(addresses.entries)
        results = await asyncio.gather(*(is_healthy(entry, path, host) for entry in entries))
        for entry, result in zip(entries, results, strict=True):
            if entry.checked(result):
                log.warning(
                    "upstream_health",
                    upstream=name,
                    address=f"{entry.host}:{entry.port}",
                    healthy=result,
                )
        addresses.judge()


async def is_healthy(address: Address, path: str, host: str) -> bool:
    """Whether an address answers its health path below 500 in time."""
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            reader, writer = await asyncio.open_connection(address.host, address.port)
            writer.write(
                f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode("ascii")
            )
            line = await reader.readuntil(b"\r\n")
    except (OSError, TimeoutError, EOFError, asyncio.LimitOverrunError):
        return False
    finally:
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError):
                writer.transport.abort()
    return line.startswith(b"HTTP/1.") and line[9:12].isdigit() and int(line[9:12]) < 500
