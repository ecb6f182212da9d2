"""TheTVDB, version 4 of its API (https://thetvdb.github.io/v4-api): fills what TMDB lacks of a series."""

from __future__ import annotations

from dataclasses import dataclass, replace

import httpx
from pydantic import SecretStr

from services.content.providers.cache import ProviderCache
from services.content.providers.facts import TitleFacts
from services.content.providers.http import request_json
from shared.contract.norm import norm

SEARCH_SECONDS = 7 * 86_400.0


@dataclass(frozen=True, slots=True)
class _Found:
    tvdb_id: int
    overview: str
    image_url: str | None


class Tvdb:
    """Search by name and year, through the cache."""

    def __init__(
        self, client: httpx.AsyncClient, key: SecretStr, cache: ProviderCache, *, base_url: str
    ) -> None:
        self._client = client
        self._key = key.get_secret_value()
        self._cache = cache
        self._base_url = base_url
        self._token: str | None = None

    async def complete(self, facts: TitleFacts) -> TitleFacts:
        """The same series with id, overview and poster where they were missing."""
        if facts.format != "series" or (facts.tvdb_id and facts.overview and facts.poster_url):
            return facts
        found = await self._find(facts)
        if found is None or (facts.tvdb_id and facts.tvdb_id != found.tvdb_id):
            return facts
        return replace(
            facts,
            tvdb_id=found.tvdb_id,
            overview=facts.overview or found.overview,
            poster_url=facts.poster_url or found.image_url,
        )

    async def _find(self, facts: TitleFacts) -> _Found | None:
        params = {"query": facts.title, "type": "series"}
        if facts.year is not None:
            params["year"] = str(facts.year)
        words = "&".join(f"{name}={value}" for name, value in sorted(params.items()))

        async def fetch() -> object:
            headers = {"Authorization": f"Bearer {await self._sign_in()}"}
            url = f"{self._base_url}/search"
            return await request_json(self._client, "GET", url, params=params, headers=headers)

        answer = await self._cache.get(f"tvdb:/search?{words}", SEARCH_SECONDS, fetch)
        for row in answer.get("data") or ():
            id_ = str(row.get("tvdb_id") or "")
            if id_.isdecimal() and norm(str(row.get("name") or "")) == norm(facts.title):
                return _Found(int(id_), str(row.get("overview") or ""), row.get("image_url"))
        return None

    async def _sign_in(self) -> str:
        """A token lasts a month, longer than this object."""
        if self._token is None:
            url = f"{self._base_url}/login"
            answer = await request_json(self._client, "POST", url, body={"apikey": self._key})
            self._token = str(answer["data"]["token"])
        return self._token
