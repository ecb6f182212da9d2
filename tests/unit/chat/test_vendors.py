from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from services.chat.models.prompts import Prompt, Speaker, Turn
from services.chat.providers.vendors.breaker import FAILURES, OPEN_SECONDS, Breaker
from services.chat.providers.vendors.calls import (
    Failure,
    Line,
    ModelCall,
    VendorError,
    failure_of_status,
    retry_after_of,
)
from services.chat.providers.vendors.dialogue import follow_up_call, questions_of, reply_call
from services.chat.providers.vendors.fallback import FallbackModel
from services.chat.providers.vendors.registry import Deployment, ModelRegistry, parse_chain
from services.chat.providers.vendors.turnstile import Turnstile
from services.chat.settings import MODEL_NAMES, ChatSettings, field_of
from shared.errors import Code, PeerError

NEO = Speaker("Neo", "The Matrix")
CALL = ModelCall("", (Line("user", "hi"),))


def test_a_chain_names_vendors_and_their_models_in_order() -> None:
    assert parse_chain("anthropic:claude-haiku-4-5, openai:ft:gpt:x") == (
        Deployment("anthropic", "claude-haiku-4-5"),
        Deployment("openai", "ft:gpt:x"),
    )


@pytest.mark.parametrize("text", ["", " , ", "claude-haiku-4-5", "nobody:model", "openai:"])
def test_a_chain_that_names_no_vendor_or_model_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="vendor"):
        parse_chain(text)


def test_every_public_model_has_a_setting_and_vendors_without_a_key_are_left_out() -> None:
    for name in MODEL_NAMES:
        assert field_of(name) in ChatSettings.model_fields
    chains = {"gpt-4o": parse_chain("openai:gpt-4o,anthropic:claude-sonnet-4-5")}
    assert ModelRegistry(chains, {"anthropic"}).candidates("gpt-4o") == (
        Deployment("anthropic", "claude-sonnet-4-5"),
    )
    assert ModelRegistry(chains, set()).candidates("gpt-4o") == ()


def test_a_breaker_opens_after_a_row_of_failures_and_tries_one_call_later() -> None:
    breaker = Breaker()
    for number in range(FAILURES):
        assert breaker.allows(float(number))
        breaker.failed(float(number), Failure.OVERLOADED, None)
    last = float(FAILURES - 1)
    assert not breaker.allows(last + OPEN_SECONDS - 1)
    assert breaker.allows(last + OPEN_SECONDS)
    assert not breaker.allows(last + OPEN_SECONDS)  # one trial at a time
    breaker.failed(last + OPEN_SECONDS, Failure.TIMEOUT, None)
    assert not breaker.allows(last + 3 * OPEN_SECONDS - 1)
    assert breaker.allows(last + 3 * OPEN_SECONDS)
    breaker.succeeded()
    assert breaker.allows(last + 3 * OPEN_SECONDS)


def test_failures_that_lie_far_apart_open_nothing() -> None:
    breaker = Breaker()
    for number in range(20):
        breaker.failed(number * 10.0, Failure.OVERLOADED, None)
    assert breaker.allows(200.0)


@pytest.mark.parametrize(
    ("failure", "retry_after", "closed_again"),
    [
        (Failure.REFUSED, None, 300.0),
        (Failure.OVERLOADED, 7.0, 7.0),
        (Failure.REQUEST, None, 0.0),
        (Failure.BUSY, 7.0, 0.0),
    ],
)
def test_one_failure_keeps_calls_away_for_as_long_as_it_says(
    failure: Failure, retry_after: float | None, closed_again: float
) -> None:
    breaker = Breaker()
    breaker.failed(0.0, failure, retry_after)
    assert breaker.allows(closed_again - 0.1) is (closed_again == 0.0)
    assert breaker.allows(closed_again)


@pytest.mark.parametrize(
    ("status", "failure"),
    [
        (400, Failure.REQUEST),
        (401, Failure.REFUSED),
        (404, Failure.REFUSED),
        (408, Failure.TIMEOUT),
        (413, Failure.REQUEST),
        (429, Failure.OVERLOADED),
        (500, Failure.OVERLOADED),
        (529, Failure.OVERLOADED),
    ],
)
def test_a_status_says_what_to_do_next(status: int, failure: Failure) -> None:
    assert failure_of_status(status) is failure


def test_only_seconds_are_read_from_retry_after() -> None:
    assert retry_after_of("12") == 12.0
    assert retry_after_of("Wed, 21 Oct 2015 07:28:00 GMT") is None
    assert retry_after_of(None) is None


class Scripted:
    """A vendor that gives out pieces and then perhaps fails."""

    def __init__(self, *pieces: str, error: VendorError | None = None, waits: bool = False) -> None:
        self.calls = 0
        self._pieces, self._error, self._waits = pieces, error, waits

    async def stream(self, _model: str, _call: ModelCall) -> AsyncGenerator[str, None]:
        self.calls += 1
        if self._waits:
            await asyncio.Event().wait()
        for piece in self._pieces:
            yield piece
        if self._error is not None:
            raise self._error


async def said(first: Scripted, second: Scripted, seconds: float = 5.0) -> str:
    model = FallbackModel(
        {"anthropic": first, "openai": second}, first_token_seconds=seconds, calls_at_once=1
    )
    chain = parse_chain("anthropic:a,openai:b")
    return "".join([piece async for piece in model.stream(chain, CALL)])


@pytest.mark.parametrize("failure", [Failure.OVERLOADED, Failure.REFUSED, Failure.TIMEOUT])
async def test_the_next_one_answers_when_nothing_was_said_yet(failure: Failure) -> None:
    silent = Scripted(error=VendorError(failure, "why"))
    assert await said(silent, Scripted("he", "", "llo")) == "hello"
    assert await said(Scripted("", ""), Scripted("hello")) == "hello"
    assert await said(Scripted(waits=True), Scripted("hello"), seconds=0.01) == "hello"


async def test_a_bad_request_is_bad_everywhere() -> None:
    second = Scripted("hello")
    with pytest.raises(PeerError) as caught:
        await said(Scripted(error=VendorError(Failure.REQUEST, "too long")), second)
    assert caught.value.code is Code.PROVIDER_ERROR
    assert second.calls == 0


async def test_after_the_first_word_a_failure_ends_the_reply() -> None:
    second = Scripted("hello")
    with pytest.raises(PeerError) as caught:
        await said(Scripted("he", error=VendorError(Failure.TIMEOUT, "why")), second)
    assert caught.value.code is Code.PROVIDER_TIMEOUT
    assert second.calls == 0


async def test_with_nobody_left_the_last_failure_is_told() -> None:
    late, broken = VendorError(Failure.TIMEOUT, "late"), VendorError(Failure.OVERLOADED, "503")
    with pytest.raises(PeerError) as caught:
        await said(Scripted(error=broken), Scripted(error=late))
    assert (caught.value.code, caught.value.details) == (
        Code.PROVIDER_TIMEOUT,
        {"provider_kind": "model"},
    )
    model = FallbackModel({}, first_token_seconds=1, calls_at_once=1)
    with pytest.raises(PeerError) as caught:
        await anext(model.stream((), CALL))
    assert caught.value.code is Code.PROVIDER_ERROR


async def test_a_higher_tier_is_first_in_the_queue_and_nobody_is_forgotten() -> None:
    turnstile, order = Turnstile(1), list[str]()

    async def pass_through(name: str, priority: int) -> None:
        async with turnstile.turn(priority):
            order.append(name)
            await asyncio.sleep(0)

    async with turnstile.turn(0):
        waiting = [
            asyncio.create_task(pass_through(name, priority))
            for name, priority in (("free", 0), ("gone", 2), ("max", 2), ("pro", 1))
        ]
        await asyncio.sleep(0)
        waiting[1].cancel()
        await asyncio.sleep(0)
    await asyncio.gather(*waiting, return_exceptions=True)
    assert order == ["max", "pro", "free"]
    async with asyncio.timeout(1), turnstile.turn(0):
        order.append("free again")


async def test_a_turn_that_comes_while_its_taker_leaves_is_passed_on() -> None:
    turnstile = Turnstile(1)

    async def take() -> None:
        async with turnstile.turn(0):
            await asyncio.sleep(0)

    async with turnstile.turn(0):
        leaving = asyncio.create_task(take())
        await asyncio.sleep(0)
    leaving.cancel()  # its turn has come already, it does not know yet
    await asyncio.gather(leaving, return_exceptions=True)
    async with asyncio.timeout(1), turnstile.turn(0):
        pass


def test_a_dialogue_runs_in_turns_and_begins_with_the_user() -> None:
    history = (Turn("Neo", "cut off"), Turn("user", "a"), Turn("user", "b"), Turn("Neo", "c"))
    prompt = Prompt("gpt-4o", (NEO,), history, "d", background=("Once Thomas Anderson.",))
    call = reply_call(prompt, 0, [])
    assert call.lines == (Line("user", "a\n\nb"), Line("assistant", "c"), Line("user", "d"))
    assert "You play Neo from The Matrix" in call.system
    assert call.system.endswith("What is known about Neo:\nOnce Thomas Anderson.")


def test_a_picture_without_words_is_still_something_to_answer() -> None:
    prompt = Prompt("gpt-4o", (NEO,), (Turn("user", ""),), "", picture="a red pill")
    assert reply_call(prompt, 0, []).lines == (Line("user", "[shows a picture: a red pill]"),)


def test_a_group_reads_what_those_before_have_said() -> None:
    prompt = Prompt("gpt-4o", (NEO, Speaker("Trinity", "")), (Turn("Neo", "hm"),), "run")
    call = reply_call(prompt, 1, ["no"])
    assert call.lines == (Line("user", "Neo: hm\nuser: run\nNeo: no\nTrinity:"),)
    assert "Also present: Neo." in call.system


def test_questions_are_cleaned_counted_and_told_apart() -> None:
    text = "Sure:\n1. Who?\n2) Who?\n- Why now?\n• How?\n4. What else?\n" + "x" * 200 + "?"
    assert questions_of(text) == ["Who?", "Why now?", "How?"]
    call = follow_up_call(Prompt("gpt-4o", (NEO,), (), "hi"), ["hello"])
    assert call.lines == (Line("user", "user: hi\nNeo: hello"),)
