"""The Movie Database, version 3 of its API (https://developer.themoviedb.org/reference)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx
from pydantic import SecretStr

from services.content.models import TitleFormat
from services.content.providers.cache import ProviderCache
from services.content.providers.facts import TitleFacts, title_facts
from services.content.providers.http import request_json

LIST_SECONDS = 86_400.0
DETAIL_SECONDS = 7 * 86_400.0
_PATHS: dict[TitleFormat, str] = {"movie": "/movie", "series": "/tv"}
_DETAILS: dict[TitleFormat, str] = {
    "movie": "credits",
    "series": "aggregate_credits,external_ids",
}


class Tmdb:
    """Popular titles and their details, through the cache."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        key: SecretStr,
        cache: ProviderCache,
        *,
        base_url: str,
        image_base_url: str,
    ) -> None:
        self._client = client
        self._key = key.get_secret_value()
        self._cache = cache
        self._base_url = base_url
        self._image_base_url = image_base_url

    async def popular(self, format_: TitleFormat, page: int) -> list[int]:
        """Ids of one page of popular titles, page from 1."""
        found = await self._get(f"{_PATHS[format_]}/popular", {"page": str(page)}, LIST_SECONDS)
        return [int(row["id"]) for row in found.get("results") or ()]

    async def title(self, format_: TitleFormat, tmdb_id: int) -> TitleFacts | None:
        """One title with its cast; None if TMDB has no name for it."""
        found = await self._get(
            f"{_PATHS[format_]}/{tmdb_id}",
            {"append_to_response": _DETAILS[format_]},
            DETAIL_SECONDS,
        )
        return title_facts(format_, found, self._image_base_url)

    async def _get(self, path: str, params: Mapping[str, str], seconds: float) -> Any:
        """v4 read tokens are JSON Web Tokens and go into a header, v3 keys into the query."""
        is_token = self._key.count(".") == 2
        headers = {"Authorization": f"Bearer {self._key}"} if is_token else {}
        sent = dict(params) if is_token else {**params, "api_key": self._key}
        words = "&".join(f"{name}={value}" for name, value in sorted(params.items()))
        return await self._cache.get(
            f"tmdb:{path}?{words}",
            seconds,
            lambda: request_json(
                self._client, "GET", f"{self._base_url}{path}", params=sent, headers=headers
            ),
        )
