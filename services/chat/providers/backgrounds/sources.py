"""Facts about a character from TMDB and Wikipedia over HTTP; knows no cache."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import quote

import httpx

TIMEOUT = httpx.Timeout(5.0, connect=3.0)
CAST_MAX = 40


class SourceError(Exception):
    """A source did not answer, or not with what it should; says which, never with a key."""


class Source(Protocol):
    async def about(self, name: str, series: str) -> str:
        """A few sentences, "" when it knows nothing. Raises SourceError."""
        ...


class Wikipedia:
    """The summary of the best page about a character (https://api.wikimedia.org/wiki/Core_REST_API)."""

    def __init__(self, client: httpx.AsyncClient, base_url: str) -> None:
        self._client = client
        self._base_url = base_url

    async def about(self, name: str, series: str) -> str:
        found = await get_json(
            self._client,
            f"{self._base_url}/w/rest.php/v1/search/page",
            params={"q": f"{name} {series}".strip(), "limit": "1"},
        )
        pages = found.get("pages") or ()
        if not pages:
            return ""
        page = await get_json(
            self._client,
            f"{self._base_url}/api/rest_v1/page/summary/{quote(pages[0]['key'], safe='')}",
        )
        text = str(page.get("extract") or "")
        is_about = name.casefold() in f"{page.get('title')} {text}".casefold()
        return text if is_about and page.get("type") != "disambiguation" else ""


class Tmdb:
    """The story of a title, and who plays the character (https://developer.themoviedb.org)."""

    def __init__(self, client: httpx.AsyncClient, base_url: str, key: str) -> None:
        self._client = client
        self._base_url = base_url
        is_token = key.count(".") == 2  # v4 read tokens are JSON Web Tokens, v3 keys are not
        self._headers = {"Authorization": f"Bearer {key}"} if is_token else {}
        self._params = {} if is_token else {"api_key": key}

    async def about(self, name: str, series: str) -> str:
        if not series:
            return ""
        found = await self._get("/search/multi", {"query": series})
        titles = (row for row in found.get("results") or () if row.get("media_type") in _CREDITS)
        title = next(titles, None)
        if title is None:
            return ""
        kind = title["media_type"]
        story = f"{title.get('title') or title.get('name')}: {title.get('overview') or ''}".strip()
        played = _actor(await self._get(f"/{kind}/{title['id']}/{_CREDITS[kind]}", {}), name)
        return f"{story} {name} is played by {played}." if played else story

    async def _get(self, path: str, params: Mapping[str, str]) -> Mapping[str, Any]:
        return await get_json(
            self._client,
            self._base_url + path,
            params={**params, **self._params},
            headers=self._headers,
        )


_CREDITS = {"movie": "credits", "tv": "aggregate_credits"}


def _actor(credits_: Mapping[str, Any], name: str) -> str | None:
    for row in (credits_.get("cast") or ())[:CAST_MAX]:
        parts = [row.get("character"), *(one.get("character") for one in row.get("roles") or ())]
        if any(name.casefold() in str(part or "").casefold() for part in parts):
            return str(row.get("name"))
    return None


async def get_json(
    client: httpx.AsyncClient,
    url: str,
    *,
    params: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Mapping[str, Any]:
    """The JSON object of a good answer; {} for 404. Raises SourceError without the parameters."""
    try:
        answer = await client.get(url, params=params, headers=headers, timeout=TIMEOUT)
        if answer.status_code == 404:
            return {}
        answer.raise_for_status()
        found = answer.json()
    except httpx.HTTPStatusError as error:
        raise SourceError(f"{url}: status {error.response.status_code}") from None
    except (httpx.HTTPError, ValueError) as error:
        raise SourceError(f"{url}: {type(error).__name__}") from None
    if not isinstance(found, dict):
        raise SourceError(f"{url}: the answer is no object")
    return found
