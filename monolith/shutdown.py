"""Tells every part that minds that the process is about to end."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from monolith.context import Context


@runtime_checkable
class Drained(Protocol):
    """A part with open work: sockets to send away, replies to let run for a while."""

    async def drain(self) -> None: ...


async def announce_shutdown(context: Context) -> None:
    """Called once, at SIGTERM, before open answers are waited for; returns at once."""
    for part in context.parts:
        if isinstance(part, Drained):
            await part.drain()
