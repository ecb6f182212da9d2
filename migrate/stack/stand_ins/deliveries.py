"""Delivers the vendors' signed webhooks with bounded retries; knows no vendor's events."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

import httpx

from migrate.stack.stand_ins.settings import Endpoint
from shared.webhooks.senders import Outgoing

#: Longest wait for a receiver's answer, in seconds.
ANSWER_SECONDS = 10.0

#: Makes a signed delivery from (secret, unix seconds): each try is signed anew.
Signer = Callable[[str, int], Outgoing]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try; status 0 means that nobody answered."""

    provider: str
    event_id: str
    attempt: int
    status: int


class WebhookPost:
    """Sends deliveries in the background and notes every try."""

    def __init__(self, endpoints: Mapping[str, Endpoint], retry_seconds: Sequence[float]) -> None:
        self._configured = dict(endpoints)
        self._endpoints = dict(endpoints)
        self._retry_seconds = tuple(retry_seconds)
        self._tasks: set[asyncio.Task[None]] = set()
        self.attempts: list[Attempt] = []

    def direct(self, provider: str, endpoint: Endpoint) -> None:
        """Send this provider's deliveries to another receiver, until the next reset."""
        self._endpoints[provider] = endpoint

    def send(self, provider: str, event_id: str, signer: Signer) -> bool:
        """Start a delivery; False when nobody listens to this provider."""
        endpoint = self._endpoints.get(provider)
        if endpoint is None:
            return False
        task = asyncio.create_task(self._deliver(provider, event_id, signer, endpoint))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    def listing(self) -> list[dict[str, object]]:
        """Every try so far."""
        return [asdict(attempt) for attempt in self.attempts]

    async def reset(self) -> None:
        """Give up what is under way, forget it, and listen to the configured receivers again."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.attempts.clear()
        self._endpoints = dict(self._configured)

    async def _deliver(
        self, provider: str, event_id: str, signer: Signer, endpoint: Endpoint
    ) -> None:
        async with httpx.AsyncClient(timeout=ANSWER_SECONDS, follow_redirects=False) as client:
            for attempt, pause in enumerate((0.0, *self._retry_seconds), start=1):
                await asyncio.sleep(pause)
                outgoing = signer(endpoint.secret, int(time.time()))
                try:
                    answer = await client.post(
                        endpoint.url, content=outgoing.body, headers=dict(outgoing.headers)
                    )
                    status = answer.status_code
                except (httpx.HTTPError, httpx.InvalidURL):
                    status = 0
                self.attempts.append(Attempt(provider, event_id, attempt, status))
                if 200 <= status < 300:
                    return
