"""Runs an endpoint at most once per Idempotency-Key (contract, 1.9)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import structlog
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import Response

from shared.contract.routes import PublicRoute
from shared.idempotency.fingerprint import check_key, form_digest, request_hash
from shared.idempotency.store import Claim, IdempotencyStore, StoredAnswer
from shared.web.context import context_of
from shared.web.event_stream import EVENT_STREAM

log = structlog.get_logger(__name__)

_FINISH_SECONDS = 5.0  # how long a finished request may wait for its key to be stored or freed


async def answer_once(
    request: Request, route: PublicRoute, produce: Callable[[], Awaitable[Response]]
) -> Response:
    """The answer of `produce`, or the one that was kept for the same key.

    A stream finishes its claim itself, when its last event is sent: see `stream_claim`.
    """
    principal = context_of(request.scope).principal
    key = request.headers.get("idempotency-key")
    if route.idempotency != "key" or key is None or principal is None or principal.user_id is None:
        return await produce()
    store: IdempotencyStore = request.app.state.platform.idempotency
    claim = await store.claim(
        principal.user_id, route.name, check_key(key), await _fingerprint(request, route)
    )
    if isinstance(claim, StoredAnswer):
        return _replayed(claim)
    if route.kind == "stream":
        request.state.idempotency_claim = claim
    return await _finish(claim, route, produce)


def stream_claim(request: Request) -> Claim | None:
    """The key a stream holds; it must `complete` it with the short form of the stream, or `release` it."""
    return getattr(request.state, "idempotency_claim", None)


async def _finish(
    claim: Claim, route: PublicRoute, produce: Callable[[], Awaitable[Response]]
) -> Response:
    try:
        response = await produce()
    except BaseException:
        await _settle(claim.release())
        raise
    if route.kind == "stream" and response.status_code < 300:
        return response
    if 200 <= response.status_code < 300:
        await _settle(
            claim.complete(
                response.status_code, response.headers.get("content-type"), bytes(response.body)
            )
        )
    else:
        await _settle(claim.release())
    return response


async def _settle(work: Awaitable[Any]) -> None:
    """Let `work` finish although the client left. If it fails the lock lapses by itself."""
    with anyio.CancelScope(shield=True):
        try:
            async with asyncio.timeout(_FINISH_SECONDS):
                await work
        except Exception as error:
            log.warning("idempotency_key_not_settled", reason=type(error).__name__)


async def _fingerprint(request: Request, route: PublicRoute) -> str:
    if route.kind == "upload":
        parts: list[tuple[str, bytes]] = []
        for name, value in (await request.form()).multi_items():
            parts.append((name, await _content(value)))
        body = await anyio.to_thread.run_sync(form_digest, parts)
    else:
        body = await request.body()
    return request_hash(request.method, context_of(request.scope).path, body)


async def _content(value: UploadFile | str) -> bytes:
    if isinstance(value, str):
        return value.encode()
    content = await value.read()
    await value.seek(0)
    return content


def _replayed(stored: StoredAnswer) -> Response:
    headers = {"Idempotency-Replayed": "true"}
    if stored.content_type is not None:
        headers["Content-Type"] = stored.content_type
        if stored.content_type == EVENT_STREAM["Content-Type"]:
            headers |= EVENT_STREAM
    return Response(stored.body, status_code=stored.status, headers=headers)
