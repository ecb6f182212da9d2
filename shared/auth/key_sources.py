"""Where verification keys come from: fixed ones, or a key set that an issuer publishes (JWKS)."""

from __future__ import annotations

import asyncio
import json
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

import httpx
import structlog

from shared.auth.keys import Algorithm, KeyMaterialError, VerificationKey, by_kid, keys_of_set
from shared.errors import PeerError

log = structlog.get_logger(__name__)

FETCH_SECONDS = 3.0
MAX_SET_BYTES = 256 * 1024
_MAX_UNKNOWN = 1000  # remembered unknown ids; random ones must not fill the memory


class KeySource(Protocol):
    """Gives the keys that may have signed a token."""

    @property
    def generation(self) -> int:
        """Grows whenever the keys change: decisions made before are no longer valid."""
        ...

    async def candidates(self, kid: str | None) -> Sequence[VerificationKey]:
        """Keys for a key id; empty when there is none. Raises PeerError when nobody can know."""
        ...


class FixedKeys:
    """Secrets and keys of the configuration. Without ids they are all tried, in order."""

    generation = 0

    def __init__(self, keys: Sequence[VerificationKey]) -> None:
        self._keys = tuple(keys)

    async def candidates(self, kid: str | None) -> Sequence[VerificationKey]:
        return self._keys


@dataclass(frozen=True, slots=True)
class KeySetTimes:
    """How long a fetched key set is good, in seconds."""

    soft: float = 300  # then it is fetched again beside the requests (Clerk's own interval)
    hard: float = 600  # then requests wait for a new one (Supabase: do not cache longer)
    stale: float = 86_400  # if none can be fetched, the old one serves this long
    refetch_pause: float = 30  # between two fetches because of unknown key ids
    unknown: float = 60  # how long an unknown id is believed to be unknown
    retry_pause: float = 5  # after a failed fetch


Fetch = Callable[[str], Awaitable[bytes]]


class PublishedKeys:
    """A JWKS address: one fetch at a time, answers kept, unknown ids remembered, outages survived."""

    def __init__(
        self,
        url: str,
        *,
        algorithms: frozenset[Algorithm],
        times: KeySetTimes | None = None,
        fetch: Fetch | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.url = _checked_url(url)
        self.generation = 0
        self._algorithms = algorithms
        self._times = times or KeySetTimes()
        self._fetch = fetch or fetch_key_set
        self._clock = clock
        self._keys: dict[str, VerificationKey] = {}
        self._fetched_at: float | None = None
        self._failed_at = float("-inf")
        self._asked_for_unknown_at = float("-inf")
        self._unknown: OrderedDict[str, float] = OrderedDict()
        self._fetching: asyncio.Task[bool] | None = None

    async def candidates(self, kid: str | None) -> Sequence[VerificationKey]:
        if kid is None:
            return ()
        fetched_before = self._fetched_at
        await self._keep_fresh()
        key = self._keys.get(kid)
        if key is None and self._fetched_at == fetched_before and self._may_ask_for(kid):
            self._asked_for_unknown_at = self._clock()
            await self._refresh()
            key = self._keys.get(kid)
            if key is None:
                self._remember_unknown(kid)
        return (key,) if key is not None else ()

    async def _keep_fresh(self) -> None:
        """Return with usable keys; raises PeerError when there are none."""
        age = self._age()
        if age < self._times.soft:
            return
        if age < self._times.hard:
            if self._may_retry():
                self._start_fetch()
            return
        fetched = self._may_retry() and await self._refresh()
        if not fetched and self._age() > self._times.stale:
            raise PeerError(
                f"the key set {self.url} cannot be fetched and no usable one is kept;"
                " check the address and the network (`migrate doctor`)",
                retry_after=int(self._times.retry_pause),
            )

    async def _refresh(self) -> bool:
        """Wait for the running fetch or a new one; whether it succeeded. Survives cancellation."""
        return await asyncio.shield(self._start_fetch())

    def _start_fetch(self) -> asyncio.Task[bool]:
        if self._fetching is None or self._fetching.done():
            self._fetching = asyncio.create_task(self._fetch_once(), name="jwks-fetch")
        return self._fetching

    async def _fetch_once(self) -> bool:
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                document = json.loads(await self._fetch(self.url))
            keys = by_kid(k for k in keys_of_set(document) if k.algorithm in self._algorithms)
            if not keys:
                raise PeerError("the key set holds no usable key")  # noqa: TRY301
        except Exception as error:  # somebody else's server may answer anything
            self._failed_at = self._clock()
            log.warning("key_set_not_fetched", url=self.url, reason=type(error).__name__)
            return False
        if {kid: key.key.to_dict() for kid, key in keys.items()} != {
            kid: key.key.to_dict() for kid, key in self._keys.items()
        }:
            self._keys = keys
            self._unknown.clear()
            self.generation += 1
        self._fetched_at = self._clock()
        return True

    def _age(self) -> float:
        return float("inf") if self._fetched_at is None else self._clock() - self._fetched_at

    def _may_retry(self) -> bool:
        return self._clock() - self._failed_at >= self._times.retry_pause

    def _may_ask_for(self, kid: str) -> bool:
        """Whether an unknown id is worth a fetch: not known to be unknown, and not too often."""
        now = self._clock()
        believed_until = self._unknown.get(kid, float("-inf"))
        if now < believed_until:
            return False
        return now - self._asked_for_unknown_at >= self._times.refetch_pause and self._may_retry()

    def _remember_unknown(self, kid: str) -> None:
        self._unknown[kid] = self._clock() + self._times.unknown
        while len(self._unknown) > _MAX_UNKNOWN:
            self._unknown.popitem(last=False)


async def fetch_key_set(url: str) -> bytes:
    """GET a key set: no redirects, at most 256 KiB, status 200 only."""
    async with (
        httpx.AsyncClient(timeout=FETCH_SECONDS, follow_redirects=False) as client,
        client.stream("GET", url, headers={"Accept": "application/json"}) as response,
    ):
        if response.status_code != 200:
            raise PeerError(f"{url} answered {response.status_code}")
        body = b""
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > MAX_SET_BYTES:
                raise PeerError(f"{url} sent more than {MAX_SET_BYTES} bytes")
        return body


def _checked_url(url: str) -> str:
    parts = urlsplit(url)
    is_local = parts.hostname in ("127.0.0.1", "::1", "localhost")  # stand-ins for development
    if parts.scheme != "https" and not (parts.scheme == "http" and is_local):
        raise KeyMaterialError(f"keys are only fetched over https, not from {url}")
    return url
