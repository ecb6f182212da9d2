"""The adapters of real providers, spoken to through the vendors' own libraries over a socket."""

from __future__ import annotations

import asyncio
import base64
import json
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

import pytest
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse

from monolith.auth.identity_provider import Identity, SupabaseIdentities
from monolith.errors import ApiError
from monolith.payments.provider import Customer, Order
from monolith.payments.stripe_provider import StripePayments
from monolith.providers.desk import Providers
from monolith.providers.interfaces import ImageRequest, Prompt, Speaker, StoryRequest, Turn
from monolith.settings import Settings
from tests.support.people import PNG

# Stripe's library passes its bodies to httpx in a way that httpx has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
USER = "0b8e0ad6-6c1d-4f3a-9f0e-6f2d6a1c7f10"


class Vendor:
    """Answers as the vendors document it, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Any]] = []
        self.status = 200
        self.app = FastAPI()
        self.app.add_api_route("/{path:path}", self.answer, methods=["GET", "POST", "DELETE"])
        self.answers: dict[str, Callable[[Any], Any]] = {
            "v1/messages": lambda _: _sse(_claude()),
            "chat/completions": self._completion,
            "audio/transcriptions": lambda _: {"text": "heard"},
            "audio/speech": lambda _: Response(b"sound"),
            "images/generations": lambda _: {
                "created": 1,
                "data": [{"b64_json": base64.b64encode(PNG).decode()}],
            },
            "moderations": lambda body: {
                "id": "m",
                "model": "m",
                "results": [{"flagged": "bad" in body["input"]}],
            },
        }

    async def answer(self, request: Request, path: str) -> Any:
        raw = await request.body()
        body = _parsed(raw, request.headers.get("content-type", ""))
        self.asked.append((request.method, path, body))
        if self.status != 200:
            error = {"type": "card_error", "code": "card_declined", "decline_code": "no_money"}
            return Response(
                json.dumps({"error": error}), self.status, media_type="application/json"
            )
        for ending, make in self.answers.items():
            if path.endswith(ending):
                return make(body)
        return _stripe(path)

    def _completion(self, body: Any) -> Any:
        if body.get("stream"):
            return _sse(
                [
                    (None, {"id": "c", "object": "chat.completion.chunk", "choices": [choice]})
                    for choice in (
                        {"index": 0, "delta": {"role": "assistant", "content": "Hel"}},
                        {"index": 0, "delta": {"content": "lo"}},
                        {"index": 0, "delta": {}, "finish_reason": "stop"},
                    )
                ]
            )
        message = {"role": "assistant", "content": "a red square"}
        return {
            "id": "c",
            "object": "chat.completion",
            "created": 1,
            "model": "m",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        }


def _parsed(raw: bytes, kind: str) -> Any:
    if kind.startswith("application/json"):
        return json.loads(raw)
    if kind.startswith("application/x-www-form-urlencoded"):
        return {name: values[0] for name, values in parse_qs(raw.decode()).items()}
    return raw


def _sse(events: list[tuple[str | None, Any]]) -> StreamingResponse:
    lines = [
        (f"event: {name}\n" if name else "") + f"data: {json.dumps(data)}\n\n"
        for name, data in events
    ]
    return StreamingResponse(iter(lines), media_type="text/event-stream")


def _claude() -> list[tuple[str | None, Any]]:
    message = {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "model": "claude",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }
    block = {"type": "text", "text": ""}
    events: list[tuple[str | None, Any]] = [
        ("message_start", {"message": message}),
        ("content_block_start", {"index": 0, "content_block": block}),
    ]
    events += [
        ("content_block_delta", {"index": 0, "delta": {"type": "text_delta", "text": text}})
        for text in ("Good", " day")
    ]
    end = {
        "delta": {"stop_reason": "end_turn", "stop_sequence": None},
        "usage": {"output_tokens": 2},
    }
    events += [("content_block_stop", {"index": 0}), ("message_delta", end), ("message_stop", {})]
    return [(name, {"type": name, **data}) for name, data in events]


def _stripe(path: str) -> Any:
    kind = path.removeprefix("v1/")
    if kind == "customers" or kind.startswith("customers/"):
        return {"id": "cus_1", "object": "customer"}
    if kind == "checkout/sessions":
        return {
            "id": "cs_1",
            "object": "checkout.session",
            "url": "https://checkout.example/1",
            "expires_at": 1738324800,
        }
    if kind == "billing_portal/sessions":
        return {"id": "bps_1", "object": "billing_portal.session", "url": "https://portal.example"}
    if kind == "coupons":
        return {"id": "coupon_1", "object": "coupon"}
    if kind.startswith("subscription_schedules"):
        phase = {"start_date": 1, "end_date": 2, "items": [{"price": "price_max", "quantity": 1}]}
        return {"id": "sched_1", "object": "subscription_schedule", "phases": [phase]}
    return {
        "id": "sub_1",
        "object": "subscription",
        "items": {"object": "list", "data": [{"id": "si_1", "object": "subscription_item"}]},
    }


@asynccontextmanager
async def listening(app: FastAPI) -> AsyncIterator[str]:
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None))
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    await task


@pytest.fixture
async def vendor() -> AsyncIterator[tuple[Vendor, Settings]]:
    vendor = Vendor()
    async with listening(vendor.app) as url:
        keys = {
            "ANTHROPIC_API_KEY": "key",
            "ANTHROPIC_BASE_URL": url,
            "OPENAI_API_KEY": "key",
            "OPENAI_BASE_URL": url,
            "SUPABASE_URL": url,
            "SUPABASE_ANON_KEY": "anon",
            "STRIPE_API_BASE": url,
        }
        yield vendor, Settings("x", ("s" * 32,), providers="live", provider_keys=keys)


@pytest.fixture
async def providers(vendor: tuple[Vendor, Settings]) -> AsyncIterator[Providers]:
    providers = Providers(vendor[1])
    yield providers
    await providers.close()


@pytest.fixture
async def till(vendor: tuple[Vendor, Settings]) -> AsyncIterator[StripePayments]:
    base = vendor[1].provider_keys["STRIPE_API_BASE"]
    till = StripePayments("sk_test_x", "https://api.example.com", base)
    yield till
    await till.close()


async def said(providers: Providers, model: str) -> list[tuple[int, str]]:
    speakers = (Speaker("Ana", "Show"), Speaker("Bob", ""))
    prompt = Prompt(model, speakers, (Turn("user", "before"),), "hello", streamed=True)
    return [(d.speaker, d.text) async for d in providers.model.replies(prompt)]


async def test_claude_models_answer_through_anthropic_one_speaker_after_the_other(
    vendor: tuple[Vendor, Settings], providers: Providers
) -> None:
    assert await said(providers, "claude-3-haiku") == [
        (0, "Good"),
        (0, " day"),
        (1, "Good"),
        (1, " day"),
    ]
    first, second = (body for _, _, body in vendor[0].asked)
    assert "You play Ana from Show" in first["system"]
    assert first["messages"][0]["content"].endswith("user: before\nuser: hello\nAna:")
    assert second["messages"][0]["content"].endswith("user: hello\nAna: Good day\nBob:")


async def test_other_models_answer_through_an_openai_address(
    vendor: tuple[Vendor, Settings], providers: Providers
) -> None:
    assert (await said(providers, "gpt-4o"))[:2] == [(0, "Hel"), (0, "lo")]
    assert vendor[0].asked[0][2]["model"] == "gpt-4o"


async def test_a_story_takes_its_title_from_the_first_line(providers: Providers) -> None:
    story = await providers.model.story(StoryRequest(("Ana",), "Mars", None, "", "", ()))
    assert (story.title, story.content) == ("Good day", "Good day")


async def test_speech_pictures_and_moderation_use_openai(providers: Providers) -> None:
    assert (await providers.speech.transcribe(b"ID3", "audio/mpeg", "de")).text == "heard"
    assert await providers.speech.speak("hello", "default", "mp3") == b"sound"
    made = await providers.images.generate(ImageRequest("a cat", "1024x1024", "flat"))
    assert made.data == PNG
    seen = await providers.images.analyze(PNG, "image/png", "what?")
    assert seen.description == "a red square"
    await providers.moderate("good text", None)
    with pytest.raises(ApiError) as refused:
        await providers.moderate("bad text")
    assert refused.value.code == "CONTENT_REJECTED"


async def test_a_vendor_that_fails_is_a_provider_error(
    vendor: tuple[Vendor, Settings], providers: Providers
) -> None:
    vendor[0].status = 500
    for model in ("claude-3-haiku", "gpt-4o"):
        with pytest.raises(ApiError) as failed:
            await said(providers, model)
        assert (failed.value.code, failed.value.details) == (
            "PROVIDER_ERROR",
            {"provider_kind": "model"},
        )


async def test_without_keys_every_provider_fails_as_one() -> None:
    providers = Providers(Settings("x", ("s" * 32,), providers="live"))
    for call in (
        providers.speech.speak("x", "default", "mp3"),
        providers.images.generate(ImageRequest("x", "512x512", None)),
    ):
        with pytest.raises(ApiError) as failed:
            await call
        assert failed.value.code == "PROVIDER_ERROR"
    with pytest.raises(ApiError):
        await said(providers, "claude-3-haiku")
    await providers.moderate("anything")


async def test_stripe_is_asked_with_the_user_in_every_place(
    vendor: tuple[Vendor, Settings], till: StripePayments
) -> None:
    person = Customer(uuid.UUID(USER), "a@example.com", None)
    assert await till.customer(person) == "cus_1"
    known = Customer(person.user_id, person.email, "cus_1")
    order = Order("price_pro", "https://app.example.com/ok", None, "OFF", 10, 7)
    made = await till.checkout(known, order)
    assert (made.url, made.session_id) == ("https://checkout.example/1", "cs_1")
    body = vendor[0].asked[-1][2]
    assert body["client_reference_id"] == USER
    assert body["subscription_data[metadata][user_id]"] == USER
    assert body["metadata[promo_code]"] == "OFF"
    assert body["discounts[0][coupon]"] == "coupon_1"
    assert body["subscription_data[trial_period_days]"] == "7"
    assert await till.portal("cus_1", None) == "https://portal.example"


async def test_stripe_subscriptions_are_changed_by_their_own_calls(
    vendor: tuple[Vendor, Settings], till: StripePayments
) -> None:
    person = Customer(uuid.UUID(USER), "a@example.com", "cus_1")
    await till.change_price(person, "sub_1", "price_max")
    await till.schedule_price("sub_1", "price_pro")
    await till.cancel("sub_1", at_period_end=True)
    await till.cancel("sub_1", at_period_end=False)
    await till.pause("sub_1", datetime(2030, 1, 1, tzinfo=UTC))
    await till.resume("sub_1", paused=True)
    await till.resume("sub_1", paused=False)
    await till.rename("cus_1", "b@example.com")
    bodies = [body for _, _, body in vendor[0].asked]
    assert [method for method, _, _ in vendor[0].asked].count("DELETE") == 1
    assert bodies[1]["items[0][price]"] == "price_max"
    assert bodies[1]["items[0][id]"] == "si_1"
    assert bodies[3]["phases[1][items][0][price]"] == "price_pro"
    assert bodies[4] == {"cancel_at_period_end": "true"}
    assert bodies[6]["pause_collection[resumes_at]"] == "1893456000"
    assert bodies[8] == {"cancel_at_period_end": "false"}
    assert bodies[9] == {"email": "b@example.com"}


async def test_a_declined_card_is_a_failed_payment(
    vendor: tuple[Vendor, Settings], till: StripePayments
) -> None:
    vendor[0].status = 402
    with pytest.raises(ApiError) as failed:
        await till.portal("cus_1", None)
    assert (failed.value.code, failed.value.details) == (
        "PAYMENT_FAILED",
        {"decline_code": "no_money"},
    )
    vendor[0].status = 500
    with pytest.raises(ApiError) as failed:
        await till.portal("cus_1", None)
    assert failed.value.details == {"provider_kind": "payment"}


async def test_supabase_says_who_an_id_token_is_about(vendor: tuple[Vendor, Settings]) -> None:
    user = {
        "id": USER,
        "email": "g@example.com",
        "email_confirmed_at": "2025-01-01T00:00:00Z",
        "identities": [{"provider": "google", "id": "g-1"}],
        "user_metadata": {"name": "Gil"},
    }
    vendor[0].answers["auth/v1/token"] = lambda _: {"user": user}
    desk = SupabaseIdentities(vendor[1])
    assert await desk.identify("google", "token", "n") == Identity("g-1", "g@example.com", "Gil")
    assert vendor[0].asked[0][2] == {"provider": "google", "id_token": "token", "nonce": "n"}
    for status, code in ((400, "CREDENTIALS_INVALID"), (500, "PROVIDER_ERROR")):
        vendor[0].status = status
        with pytest.raises(ApiError) as failed:
            await desk.identify("google", "token", None)
        assert failed.value.code == code
