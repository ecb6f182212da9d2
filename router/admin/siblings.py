"""Asks the other workers of the same router on their admin ports; knows nothing of what they answer."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx

#: A worker that takes longer is left out, in seconds.
TIMEOUT_SECONDS = 1.0


async def ask_siblings(addresses: tuple[str, ...], path: str, token: str) -> list[dict[str, Any]]:
    """The JSON answers of the workers that answer in time."""
    async with httpx.AsyncClient(
        timeout=TIMEOUT_SECONDS, headers={"Authorization": f"Bearer {token}"}, trust_env=False
    ) as client:
        answers = await asyncio.gather(
            *(client.get(address + path) for address in addresses), return_exceptions=True
        )
    return [
        answer.json()
        for answer in answers
        if isinstance(answer, httpx.Response) and answer.status_code == 200
    ]
