"""The decision: stable, fair, and never moving anybody back."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.control.model import Flag
from shared.routing.decision import BUCKETS, REASONS, bucket_of, decide, needs_key, threshold_of
from shared.routing.sticky import StickyKey

percents = st.floats(min_value=0, max_value=100)
keys = st.text(max_size=40)
salts = st.text(max_size=20)


def side(percent: float, salt: str, key: str) -> str:
    return decide(Flag("r", "s", percent, salt), StickyKey(key, "user")).side


@settings(deadline=None)
@given(percents, percents, salts, keys)
def test_widening_never_moves_anybody_back(a: float, b: float, salt: str, key: str) -> None:
    low, high = sorted((a, b))
    if side(low, salt, key) == "service":
        assert side(high, salt, key) == "service"


@settings(deadline=None)
@given(salts, keys)
def test_nobody_is_at_the_service_at_0_and_everybody_at_100(salt: str, key: str) -> None:
    assert side(0, salt, key) == "monolith"
    assert side(100, salt, key) == "service"


@settings(max_examples=30, deadline=None)
@given(st.floats(min_value=1, max_value=99), salts)
def test_the_share_is_within_the_binomial_bound(percent: float, salt: str) -> None:
    count, share = 4000, threshold_of(percent) / BUCKETS
    hits = sum(side(percent, salt, f"user-{n}") == "service" for n in range(count))
    # Six standard deviations: a fair hash fails this once in a billion runs.
    assert abs(hits - count * share) <= 6 * math.sqrt(count * share * (1 - share)) + 1


def test_every_salt_chooses_other_people() -> None:
    users = [f"user-{n}" for n in range(2000)]
    first = {user for user in users if side(10, "flag-a", user) == "service"}
    second = {user for user in users if side(10, "flag-b", user) == "service"}
    assert len(first & second) < len(first) / 2


def test_the_decision_is_the_same_in_every_process() -> None:
    cases = [("salt", "user-1"), ("", ""), ("ü", "\udcff"), ("a" * 30, "b" * 300)]
    code = (
        "from shared.routing.decision import bucket_of;"
        f"print([bucket_of(s, k) for s, k in {cases!r}])"
    )
    for seed in ("0", "1"):
        out = subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": "."},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert out.stdout.strip() == str([bucket_of(salt, key) for salt, key in cases])


def test_known_keys_keep_their_buckets_for_good() -> None:
    """A changed hash would move people of every running ramp."""
    assert [bucket_of("salt", f"user-{n}") for n in range(4)] == [7581, 2683, 3455, 7428]


def test_steps_of_a_hundredth_of_a_percent_count() -> None:
    assert threshold_of(0.01) == 1
    assert threshold_of(33.33) == 3333
    assert threshold_of(99.99) == 9999


def test_lists_come_before_the_percent_and_the_deny_list_before_the_allow_list() -> None:
    flag = Flag("r", "s", 0, "x", allow=frozenset({"a", "b"}), deny=frozenset({"b"}))
    assert decide(flag, StickyKey("a", "user")).reason == "allowed"
    assert decide(flag, StickyKey("a", "user")).side == "service"
    assert decide(flag, StickyKey("b", "user")).side == "monolith"
    assert decide(flag, StickyKey("c", "user")).reason == "percent_none"


def test_an_override_wins_over_lists_and_works_at_0_percent() -> None:
    flag = Flag("r", "s", 0, "x", deny=frozenset({"a"}))
    decision = decide(flag, StickyKey("a", "user"), override="service")
    assert (decision.side, decision.reason) == ("service", "override")


def test_nothing_sends_a_pinned_route_to_the_monolith() -> None:
    flag = Flag("r", "s", 100, "x", deny=frozenset({"a"}), writes=True)
    for override in ("monolith", None):
        decision = decide(flag, StickyKey("a", "user"), override=override, is_pinned=True)
        assert (decision.side, decision.reason) == ("service", "pinned")


def test_a_route_without_flag_or_address_stays_at_the_monolith() -> None:
    assert decide(None, None).reason == "no_flag"
    flag = Flag("r", "s", 100, "x")
    assert decide(flag, None, is_configured=False).reason == "not_configured"
    assert decide(flag, None, override="service", is_configured=False).side == "monolith"


@pytest.mark.parametrize(
    ("flag", "needed"),
    [
        (Flag("r", "s", 0), False),
        (Flag("r", "s", 100), False),
        (Flag("r", "s", 50), True),
        (Flag("r", "s", 0, allow=frozenset({"a"})), True),
        (Flag("r", "s", 100, deny=frozenset({"a"})), True),
    ],
)
def test_a_key_is_only_read_when_it_can_change_the_decision(flag: Flag, needed: bool) -> None:
    assert needs_key(flag) is needed


def test_every_reason_has_a_sentence() -> None:
    flag = Flag("r", "s", 50, "x")
    assert decide(flag, StickyKey("a", "user")).reason in REASONS
