"""JSON over HTTP from a catalogue provider, with bounded patience; knows no provider."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import httpx

from shared.errors import PeerError, provider_failed, provider_timed_out

ATTEMPTS = 3
#: Longest pause that a provider's Retry-After is followed, in seconds.
LONGEST_PAUSE = 30.0
FIRST_PAUSE = 0.5
TIMEOUT = httpx.Timeout(10.0, connect=5.0)
_AGAIN = frozenset({429, 500, 502, 503, 504})


async def request_json(
    client: httpx.AsyncClient,
    method: str,
    path: str,
    *,
    params: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    body: Mapping[str, str] | None = None,
) -> Any:
    """The JSON of a good answer; raises PeerError (502, 504) without parameters, which hold keys."""
    pause = FIRST_PAUSE
    for attempt in range(1, ATTEMPTS + 1):
        try:
            answer = await client.request(
                method, path, params=params, headers=headers, json=body, timeout=TIMEOUT
            )
        except httpx.TimeoutException as error:
            failure: PeerError = provider_timed_out(f"{path}: no answer in time", "catalogue")
            cause: Exception | None = error
        except httpx.TransportError as error:
            failure = provider_failed(f"{path}: {type(error).__name__}", "catalogue")
            cause = error
        else:
            if answer.is_success:
                return _json(answer, path)
            failure = provider_failed(f"{path}: status {answer.status_code}", "catalogue")
            cause = None
            if answer.status_code not in _AGAIN:
                raise failure
            pause = max(pause, _asked_pause(answer))
        if attempt == ATTEMPTS:
            raise failure from cause
        await asyncio.sleep(min(pause, LONGEST_PAUSE))
        pause *= 2
    raise AssertionError("the loop returns or raises")


def _json(answer: httpx.Response, path: str) -> Any:
    try:
        return answer.json()
    except ValueError as error:
        raise provider_failed(f"{path}: the answer is no JSON", "catalogue") from error


def _asked_pause(answer: httpx.Response) -> float:
    text = answer.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdecimal() else 0.0
