"""A small service on contract routes, for tests of the web kit; it records what its handlers did."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Literal
from uuid import UUID

import asyncpg
import httpx
from fastapi import Depends, FastAPI, File, Form, Query, Request, Response, UploadFile
from fastapi.responses import StreamingResponse

from shared.auth.dependencies import (
    CurrentUser,
    OptionalUser,
    ServiceCaller,
    User,
    requires_aal2,
)
from shared.contract.values import Id, Integer, RequestModel, Text, Timestamp, WireModel
from shared.errors import insufficient_quota, not_found, provider_failed
from shared.settings import AppSettings, load_settings
from shared.web.app import create_service_app
from shared.web.cursors import Cursor, Limit, cursor_parameter
from shared.web.endpoints import ServiceRouter
from shared.web.replay import stream_claim
from shared.web.replies import Reply
from shared.web.serve import serve
from shared.web.streams import Event, encode_event, open_stream

SECRET = "sample-secret-of-forty-bytes-0123456789ab"
ORIGIN = "https://app.example"
MISSING = "00000000-0000-4000-8000-000000000000"
BROKEN = "11111111-1111-4111-8111-111111111111"
LOCKED = "44444444-4444-4444-8444-444444444444"
SLOW = "22222222-2222-4222-8222-222222222222"


class Found(WireModel):
    query: str
    limit: int
    cursor: str | None


class Talk(RequestModel):
    message: Annotated[str, Text(1, 4000)]
    character: Annotated[str, Text(1, 120)] | None = None
    count: Integer = 1
    mode: Literal["plain", "fail", "quota", "slow"] = "plain"
    at: Timestamp | None = None


class Talked(WireModel):
    user_id: Id
    message: str
    number: int


class Seen(WireModel):
    user_id: Id | None


class Uploaded(WireModel):
    name: str
    bytes: int
    purpose: str


def sample_router(calls: list[str]) -> ServiceRouter:
    """The endpoints; each appends to `calls` when its handler runs."""
    router = ServiceRouter()

    @router.endpoint("content.search", cache_seconds=60)
    async def search(
        q: Annotated[str, Query(min_length=1, max_length=100)],
        cursor: Annotated[Cursor | None, Depends(cursor_parameter)] = None,
        limit: Limit = 20,
    ) -> Found:
        calls.append("search")
        return Found(query=q, limit=limit, cursor=cursor.sort_value if cursor else None)

    @router.endpoint("content.movie", cache_seconds=300, time_limit_seconds=0.2)
    async def movie(title_id: Id) -> Reply[Seen]:
        if str(title_id) == MISSING:
            raise not_found("title")
        if str(title_id) == BROKEN:
            raise RuntimeError("postgresql://user:hunter2@db/x is on fire")
        if str(title_id) == LOCKED:
            raise asyncpg.LockNotAvailableError("canceling statement due to lock timeout")
        if str(title_id) == SLOW:
            await asyncio.sleep(5)
        return Reply(Seen(user_id=title_id), etag='W/"17"')

    @router.endpoint("community.story_list")
    async def stories(viewer: OptionalUser) -> Seen:
        return Seen(user_id=viewer.id if viewer else None)

    @router.endpoint("auth.me")
    async def me(user: CurrentUser) -> Seen:
        calls.append("me")
        return Seen(user_id=user.id)

    @router.endpoint("auth.sync")
    async def sync(request: Request) -> Seen:
        return Seen(user_id=request.scope["strangler.context"].principal.user_id)

    @router.endpoint("chat.talk")
    async def talk(user: CurrentUser, body: Talk) -> Talked:
        calls.append("talk")
        if body.mode == "fail":
            raise RuntimeError("the model fell over")
        if body.mode == "slow":
            await asyncio.sleep(0.3)
        if body.mode == "quota":
            raise insufficient_quota(
                "chat",
                remaining=0,
                limit=5,
                resets_at="2025-01-31T00:00:00.000Z",
                current_tier=0,
                upgrade_to=1,
            )
        return Talked(user_id=user.id, message=body.message, number=len(calls))

    @router.endpoint("chat.pin")
    async def pin(message_id: Id, user: CurrentUser) -> Seen:
        calls.append("pin")
        return Seen(user_id=user.id)

    @router.endpoint("media.generate")
    async def generate(user: CurrentUser, body: Talk) -> Talked:
        return Talked(user_id=user.id, message=body.message, number=len(calls))

    @router.endpoint("media.upload")
    async def upload(
        user: CurrentUser,
        file: Annotated[UploadFile, File()],
        purpose: Annotated[str, Form()] = "other",
    ) -> Uploaded:
        calls.append("upload")
        return Uploaded(name=file.filename or "", bytes=len(await file.read()), purpose=purpose)

    @router.endpoint("media.get")
    async def media(media_id: Id, user: CurrentUser) -> Seen:
        return Seen(user_id=user.id)

    @router.endpoint("media.delete")
    async def remove(media_id: Id, user: CurrentUser) -> None:
        calls.append("delete")

    @router.endpoint("payments.portal")
    async def portal(user: CurrentUser, body: Talk) -> Seen:
        calls.append("portal")
        return Seen(user_id=user.id)

    @router.endpoint("auth.logout")
    async def logout(user: Annotated[User, Depends(requires_aal2)]) -> None:
        calls.append("logout")

    @router.endpoint("analytics.platform")
    async def platform(caller: ServiceCaller) -> Seen:
        return Seen(user_id=None)

    @router.endpoint("payments.webhook_stripe")
    async def webhook(request: Request) -> Found:
        body = await request.body()
        return Found(query=body.decode("latin-1")[:20], limit=len(body), cursor=None)

    @router.endpoint("content.popular")
    async def popular() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            yield b"first\n"
            await asyncio.sleep(0.3)
            yield b"second\n"

        return StreamingResponse(parts(), media_type="text/event-stream")

    @router.endpoint("content.actors")
    async def breaking() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            yield b"first\n"
            raise RuntimeError("broke off")

        return StreamingResponse(parts(), media_type="text/plain")

    @router.endpoint("chat.stream")
    async def stream(request: Request, user: CurrentUser, body: Talk) -> Response:
        return await open_stream(request, _reply(request, body, calls))

    return router


async def _reply(request: Request, body: Talk, calls: list[str]) -> AsyncIterator[Event]:
    """Words of the message, one by one; the mode says how it goes wrong."""
    claim = stream_claim(request)
    if body.mode == "fail":
        raise provider_failed("the model fell over", "model")
    yield Event("start", {"model": "sample"})
    try:
        for place, word in enumerate(body.message.split()):
            if word == "[[fail]]":
                raise provider_failed("the model fell over", "model")
            await asyncio.sleep(0.2 if body.mode == "slow" else 0)
            yield Event("delta", {"text": word, "place": place})
    except asyncio.CancelledError:
        calls.append("saved what there was")
        raise
    calls.append("saved")
    if claim is not None:
        short = encode_event(1, Event("done", {"text": body.message}))
        await claim.complete(200, "text/event-stream; charset=utf-8", short)
    yield Event("done", {"text": body.message})


def sample_app(settings: AppSettings, calls: list[str] | None = None) -> FastAPI:
    return create_service_app(
        "sample", settings=settings, routers=[sample_router(calls if calls is not None else [])]
    )


@asynccontextmanager
async def running(app: FastAPI) -> AsyncIterator[FastAPI]:
    """The app with its lifespan entered, as a server does it."""
    async with app.router.lifespan_context(app):
        yield app


def main() -> None:
    """Serve as a process of its own: `python -m tests.support.sample_service`."""
    settings = load_settings(AppSettings)
    app = create_service_app(
        "sample", settings=settings, routers=[sample_router([])], lifespan=[_announce]
    )
    serve(app, settings)


@asynccontextmanager
async def _announce(app: FastAPI) -> AsyncIterator[None]:
    yield
    print("hook closed", flush=True)


def client_of(app: FastAPI, address: str = "203.0.113.7") -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app, client=(address, 4711)), base_url="http://sample"
    )


def user_row(user_id: UUID) -> tuple[UUID, str, str]:
    """id, email and referral code of a user for a plain INSERT."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
    code = "".join(letters[(user_id.int >> (5 * place)) & 31] for place in range(8))
    return user_id, f"{user_id.hex}@example.com", code


if __name__ == "__main__":
    main()
