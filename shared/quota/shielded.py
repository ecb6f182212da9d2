"""Finishes work although the task around it is being cancelled; knows no quota."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from typing import Any, TypeVar

import anyio

T = TypeVar("T")


async def complete(work: Coroutine[Any, Any, T], *, seconds: float) -> T:
    """Run `work` to its end, at most so long, and only then let a cancellation through.

    When a client leaves, anyio cancels every await of the handler again and again, so a plain
    await in `finally` does not finish; asyncio cancels once. This bears both: the work runs in a
    task of its own under a shielded scope. Raises TimeoutError at the deadline, what `work`
    raises, or CancelledError after the work is done.
    """
    task = asyncio.ensure_future(_within(work, seconds))
    cancelled: asyncio.CancelledError | None = None
    with anyio.CancelScope(shield=True):
        while not task.done():
            try:
                await asyncio.wait({task})
            except asyncio.CancelledError as error:
                cancelled = error
    if cancelled is not None:
        task.exception()  # mark as seen: the cancellation is what the caller hears of
        raise cancelled
    return task.result()


async def _within(work: Awaitable[T], seconds: float) -> T:
    async with asyncio.timeout(seconds):
        return await work
