"""Runs coroutines side by side and raises the first real error; knows no split."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any


def first_error(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first real error inside a group of groups."""
    inner = failures.exceptions[0]
    return first_error(inner) if isinstance(inner, BaseExceptionGroup) else inner


async def run_all(work: Iterable[Coroutine[Any, Any, Any]]) -> list[Any]:
    """Results in order; when one fails the others are cancelled and its error is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(coroutine) for coroutine in work]
    except* Exception as failures:
        raise first_error(failures) from None
    return [task.result() for task in tasks]
