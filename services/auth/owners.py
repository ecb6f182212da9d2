"""Asks the owner of an image whether it is the caller's, by its public route; reads no table of others."""

from __future__ import annotations

from uuid import UUID

import httpx

from shared.errors import PeerError

ASK_SECONDS = 5.0


class ImageOwners:
    """Where images are answered for: the public address, so that the question follows their move."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def owns(self, media_id: UUID, authorization: str, request_id: str) -> bool:
        """With the caller's own token. Raises PeerError (503) when nobody answers."""
        headers = {"Authorization": authorization, "X-Request-Id": request_id}
        try:
            answer = await self._client.get(f"/api/images/{media_id}", headers=headers)
        except httpx.HTTPError as error:
            raise _no_answer(type(error).__name__) from error
        if answer.status_code not in (200, 404):
            raise _no_answer(str(answer.status_code))
        return answer.status_code == 200


def _no_answer(what: str) -> PeerError:
    return PeerError(f"the owner of images does not answer ({what}); check OWNER_API_URL")
