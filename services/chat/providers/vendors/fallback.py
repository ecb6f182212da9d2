"""The only retry loop: tries the deployments of a chain until one has said its first words."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AsyncExitStack, aclosing

import structlog

from services.chat.providers.vendors import metrics
from services.chat.providers.vendors.breaker import Breaker
from services.chat.providers.vendors.calls import Failure, ModelCall, VendorError, VendorModel
from services.chat.providers.vendors.registry import Chain, Deployment
from services.chat.providers.vendors.turnstile import Turnstile
from shared.errors import PeerError, provider_failed, provider_timed_out

log = structlog.get_logger(__name__)


class FallbackModel:
    """Streams a reply from the first deployment of a chain that begins one.

    Once a word was given out there is no way back: a failure then ends the reply.
    """

    def __init__(
        self,
        vendors: Mapping[str, VendorModel],
        *,
        first_token_seconds: float,
        calls_at_once: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._vendors = vendors
        self._first_token_seconds = first_token_seconds
        self._clock = clock
        self._breakers: dict[Deployment, Breaker] = {}
        self._turnstiles = {name: Turnstile(calls_at_once) for name in vendors}

    async def stream(self, chain: Chain, call: ModelCall) -> AsyncGenerator[str, None]:
        """Pieces of the reply. Raises PROVIDER_ERROR or PROVIDER_TIMEOUT (`model`)."""
        last: VendorError | None = None
        for deployment in chain:
            breaker = self._breakers.setdefault(deployment, Breaker())
            if not breaker.allows(self._clock()):
                metrics.SKIPPED.labels(deployment.vendor, deployment.model).inc()
                continue
            async with AsyncExitStack() as stack:
                try:
                    first, pieces = await self._begin(stack, deployment, call)
                except VendorError as error:
                    self._failed(deployment, breaker, error, "before")
                    last = error
                    if error.failure is Failure.REQUEST:
                        break
                    continue
                except BaseException:
                    breaker.abandoned()
                    raise
                breaker.succeeded()
                yield first
                try:
                    async for piece in pieces:
                        yield piece
                except VendorError as error:
                    self._failed(deployment, breaker, error, "after")
                    raise _refusal(error) from error
                return
        raise _refusal(last) from last

    async def _begin(
        self, stack: AsyncExitStack, deployment: Deployment, call: ModelCall
    ) -> tuple[str, AsyncGenerator[str, None]]:
        """The first words, and what follows them; `stack` ends the call."""
        started, is_waiting = self._clock(), True
        try:
            async with asyncio.timeout(self._first_token_seconds):
                turnstile = self._turnstiles[deployment.vendor]
                await stack.enter_async_context(turnstile.turn(call.priority))
                is_waiting = False
                vendor = self._vendors[deployment.vendor]
                pieces = vendor.stream(deployment.model, call)
                await stack.enter_async_context(aclosing(pieces))
                first = ""
                while not first:
                    first = await anext(pieces)
        except TimeoutError as error:
            if is_waiting:
                raise VendorError(Failure.BUSY, "no turn in time") from error
            raise VendorError(Failure.TIMEOUT, "no first token in time") from error
        except StopAsyncIteration as error:
            raise VendorError(Failure.EMPTY, "the answer has no text") from error
        seconds = self._clock() - started
        metrics.FIRST_TOKEN.labels(deployment.vendor, deployment.model).observe(seconds)
        return first, pieces

    def _failed(
        self, deployment: Deployment, breaker: Breaker, error: VendorError, stage: str
    ) -> None:
        breaker.failed(self._clock(), error.failure, error.retry_after_seconds)
        labels = (deployment.vendor, deployment.model, error.failure.value, stage)
        metrics.FAILURES.labels(*labels).inc()
        log.warning(
            "model_failed",
            deployment=str(deployment),
            failure=error.failure.value,
            reason=error.reason,
            stage=stage,
        )


def _refusal(last: VendorError | None) -> PeerError:
    """What the client is told after the last attempt."""
    if last is None:
        return provider_failed("no deployment of this model is configured and healthy", "model")
    if last.failure in (Failure.TIMEOUT, Failure.BUSY):
        return provider_timed_out(str(last), "model")
    return provider_failed(str(last), "model")
