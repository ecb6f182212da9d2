"""Asks the owners of images and conversations whether one is the caller's; reads no table of others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import httpx

from shared.errors import PeerError
from shared.observability.context import current_request_id

ASK_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a request, with the header that proves it to other apps."""

    id: UUID
    authorization: str


class Owners:
    """By the public routes, which answer the same wherever the data lies."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def owns_image(self, caller: Caller, media_id: UUID) -> bool:
        return await self._has(caller, f"/api/images/{media_id}")

    async def owns_conversation(self, caller: Caller, conversation_id: UUID) -> bool:
        path = f"/api/chat/conversations/{conversation_id}/messages?limit=1"
        return await self._has(caller, path)

    async def _has(self, caller: Caller, path: str) -> bool:
        """200 or 404 by the owner. Raises PeerError (503) when it gives no answer."""
        headers = {"Authorization": caller.authorization}
        request_id = current_request_id()
        if request_id is not None:
            headers["X-Request-Id"] = request_id
        try:
            answer = await self._client.get(path, headers=headers)
        except httpx.HTTPError as error:
            raise _no_answer(path, type(error).__name__) from error
        if answer.status_code not in (200, 404):
            raise _no_answer(path, str(answer.status_code))
        return answer.status_code == 200


@asynccontextmanager
async def open_owners(base_url: str) -> AsyncIterator[Owners]:
    """The owners behind the address of the product, while the block runs."""
    async with httpx.AsyncClient(base_url=base_url, timeout=ASK_SECONDS) as client:
        yield Owners(client)


def _no_answer(path: str, what: str) -> PeerError:
    return PeerError(f"the owner of {path} does not answer ({what}); check OWNER_API_URL")
