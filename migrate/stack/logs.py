"""Log files of the processes: the last lines, and lines as they come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

TAIL_BYTES = 256 * 1024
FOLLOW_SECONDS = 0.2


def tail(path: Path, lines: int = 20) -> str:
    """The last lines of a file, at most 256 KiB; empty when there is no file."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-lines:]) if lines > 0 else ""


async def follow(paths: Mapping[str, Path]) -> AsyncIterator[tuple[str, str]]:
    """Whole lines written from now on, as (name, line); ends when the caller does.

    A file that does not exist yet is waited for; one that shrank is read again from its start.
    """
    positions = {name: path.stat().st_size if path.exists() else 0 for name, path in paths.items()}
    while True:
        for name, path in paths.items():
            if not path.exists():
                continue
            size = path.stat().st_size
            start = positions[name] if positions[name] <= size else 0
            with path.open("rb") as file:
                file.seek(start)
                data = file.read(size - start)
            whole = data[: data.rfind(b"\n") + 1]
            positions[name] = start + len(whole)
            for line in whole.decode(errors="replace").splitlines():
                yield name, line
        await asyncio.sleep(FOLLOW_SECONDS)
