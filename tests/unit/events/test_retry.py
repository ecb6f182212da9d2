"""What becomes of a failed message, and when a breaker opens."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from shared.events import retry
from shared.events.breaker import Breaker, BreakerSettings
from shared.events.retry import Park, Wait, after_deferral, after_failure, fresh, parked
from shared.events.topology import LADDER_SECONDS

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_message_climbs_the_ladder_and_is_then_parked() -> None:
    headers: dict[str, object] = {"traceparent": "t", "x-death": [{"count": 9}]}
    waits: list[float] = []
    while True:
        step = after_failure(headers, KeyError("k"), ladder=LADDER_SECONDS, queue="q", now=NOW)
        headers = dict(step.headers)
        if isinstance(step, Park):
            break
        waits.append(step.seconds)
    assert waits == [5.0, 30.0, 300.0, 3600.0]
    assert step.reason == "failed"
    assert headers[retry.ATTEMPT] == 5
    assert headers[retry.ERROR_TYPE] == "KeyError"
    assert headers[retry.FIRST_FAILED_AT] == headers[retry.PARKED_AT] == "2026-01-01T00:00:00.000Z"
    assert headers["traceparent"] == "t"
    assert "x-death" not in headers


def test_the_text_of_an_error_is_cut() -> None:
    step = parked({}, "unreadable", queue="q", now=NOW, error=ValueError("x" * 5000))
    assert len(step.headers[retry.ERROR]) == retry.MAX_ERROR_CHARACTERS


@given(st.dictionaries(st.text(max_size=30), st.one_of(st.integers(), st.text(), st.booleans())))
def test_headers_of_strangers_never_break_the_ladder(headers: dict[str, object]) -> None:
    step = after_failure(headers, KeyError(), ladder=(1.0,), queue="q", now=NOW)
    assert isinstance(step, Wait | Park)
    assert step.headers[retry.ATTEMPT] >= 1


def test_a_deferral_costs_no_attempt_until_there_were_too_many() -> None:
    headers: dict[str, object] = {}
    for _ in range(retry.MAX_DEFERRALS):
        step = after_deferral(headers, 20.0, KeyError(), ladder=LADDER_SECONDS, queue="q", now=NOW)
        assert isinstance(step, Wait)
        assert step.seconds == 30.0
        headers = dict(step.headers)
        assert retry.ATTEMPT not in headers
    step = after_deferral(headers, 20.0, KeyError(), ladder=LADDER_SECONDS, queue="q", now=NOW)
    assert step.headers[retry.ATTEMPT] == 1
    assert retry.DEFERRALS not in step.headers


def test_a_deferral_longer_than_the_ladder_waits_on_its_last_rung() -> None:
    step = after_deferral({}, 9999.0, KeyError(), ladder=(1.0, 2.0), queue="q", now=NOW)
    assert isinstance(step, Wait)
    assert step.seconds == 2.0


def test_replaying_takes_our_headers_and_the_brokers_away() -> None:
    headers = {"traceparent": "t", retry.ATTEMPT: 5, retry.REASON: "failed", "x-death": []}
    assert fresh(headers) == {"traceparent": "t"}


SETTINGS = BreakerSettings(window=10, min_runs=4, first_pause_seconds=10, longest_pause_seconds=40)


def test_a_breaker_opens_after_a_storm_and_doubles_its_pause_until_a_trial_succeeds() -> None:
    breaker = Breaker(SETTINGS)
    for _ in range(4):
        assert breaker.wait_seconds(0.0) == 0.0
        breaker.failed(0.0)
    assert breaker.is_open
    assert breaker.wait_seconds(4.0) == 6.0
    now = 10.0
    for pause in (20.0, 40.0, 40.0):
        assert breaker.wait_seconds(now) == 0.0  # the trial
        assert breaker.wait_seconds(now) > 0.0  # and nothing beside it
        breaker.failed(now)
        assert breaker.wait_seconds(now) == pause
        now += pause
    assert breaker.wait_seconds(now) == 0.0
    breaker.succeeded()
    assert not breaker.is_open
    assert breaker.wait_seconds(now) == 0.0


def test_a_breaker_stays_closed_while_most_runs_succeed() -> None:
    breaker = Breaker(SETTINGS)
    for number in range(100):
        if number % 2:
            breaker.failed(0.0)
        else:
            breaker.succeeded()
    assert not breaker.is_open


def test_a_trial_without_a_verdict_can_be_repeated() -> None:
    breaker = Breaker(SETTINGS)
    for _ in range(4):
        breaker.failed(0.0)
    assert breaker.wait_seconds(10.0) == 0.0
    breaker.abandoned()
    assert breaker.wait_seconds(10.0) == 0.0
