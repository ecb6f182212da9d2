"""Signed overrides, and the trace that explains a decision."""

from __future__ import annotations

import base64
import json

import pytest

from shared.control.model import ControlState, Flag, Hold, Placement
from shared.routing.explain import Question, explain
from shared.routing.override import OverrideError, override_side, read_override, sign_override
from shared.routing.routes import RouteSpec, RouteTable
from shared.states import DataState

SECRET = "s" * 32
TABLE = RouteTable(
    [
        RouteSpec("chat.talk", "chat", "POST", "/api/chat/talk", kind="write", writes=True),
        RouteSpec("chat.list", "chat", "GET", "/api/chat/{id}", rewrite="/v2/chat/{id}"),
    ]
)
CHAT = frozenset({"chat"})


def state(**flag: object) -> ControlState:
    flags = {
        name: Flag(name, "chat", salt="x", **flag)  # type: ignore[arg-type]
        for name in ("chat.talk", "chat.list")
    }
    return ControlState(7, flags, {})


def test_a_signed_override_names_routes_before_services() -> None:
    token = sign_override(
        {"chat": "service", "chat.talk": "monolith"}, secret=SECRET, expires_at=100
    )
    sides = read_override(token, ["o" * 32, SECRET], now=99)
    assert override_side(sides, "chat.talk", "chat") == "monolith"
    assert override_side(sides, "chat.list", "chat") == "service"
    assert override_side(sides, "media.list", "media") is None


def _forged(header: dict[str, str], claims: dict[str, object]) -> str:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{part(header)}.{part(claims)}."


@pytest.mark.parametrize(
    "token",
    [
        "", "a", "a.b.c", "e30.e30.e30",
        _forged({"alg": "none"}, {"aud": "strangler-override", "exp": 10**10, "sides": {"a": "service"}}),
        sign_override({"a": "service"}, secret="x" * 32, expires_at=10**10),
        sign_override({"a": "service"}, secret=SECRET, expires_at=10),
    ],
)  # fmt: skip
def test_a_forged_foreign_or_expired_override_is_refused(token: str) -> None:
    with pytest.raises(OverrideError):
        read_override(token, [SECRET], now=11)


def test_a_users_token_is_never_an_override() -> None:
    from jose import jwt

    user = jwt.encode(
        {"sub": "u", "aud": "authenticated", "exp": 10**10, "sides": {"a": "service"}}, SECRET
    )
    with pytest.raises(OverrideError, match="not an override"):
        read_override(user, [SECRET], now=0)


def test_an_override_to_no_side_is_not_signed() -> None:
    with pytest.raises(OverrideError):
        sign_override({"a": "left"}, secret=SECRET, expires_at=1)


def test_an_explanation_shows_every_step() -> None:
    answer = explain(
        Question("GET", "/api/%63hat/7?a=b", user="someone"),
        TABLE,
        state(percent=50),
        configured=CHAT,
    )
    assert answer.route == "chat.list"
    assert answer.reason == "percent"
    assert [step.name for step in answer.steps[:5]] == ["path", "route", "control", "flag", "key"]
    assert answer.forwarded_path in {"/v2/chat/7?a=b", "/api/chat/7?a=b"}
    assert json.dumps(answer.to_json())


def test_an_explanation_says_why_a_route_stays_at_the_monolith() -> None:
    answer = explain(
        Question("GET", "/api/chat/7"), TABLE, state(percent=100), configured=frozenset()
    )
    assert (answer.side, answer.reason) == ("monolith", "not_configured")
    unmatched = explain(Question("GET", "/other"), TABLE, state(), configured=CHAT)
    assert (unmatched.side, unmatched.reason) == ("monolith", "unmatched")


def test_an_explanation_shows_refusals_holds_and_missing_state() -> None:
    assert explain(Question("GET", "/a/../b"), TABLE, state(), configured=CHAT).side is None
    assert explain(Question("GET", "/api/chat/7"), TABLE, None, configured=CHAT).side is None
    held = explain(Question("GET", "/api/chat/7"), TABLE, state(hold=Hold()), configured=CHAT)
    assert held.held


def test_an_explanation_applies_overrides_and_pinning() -> None:
    token = sign_override({"chat": "monolith"}, secret=SECRET, expires_at=100)
    question = Question("GET", "/api/chat/7", headers={"x-strangler-override": token})
    full = state(percent=100)
    assert (
        explain(question, TABLE, full, configured=CHAT, secrets=(SECRET,), now=1).reason
        == "override"
    )
    assert (
        explain(question, TABLE, full, configured=CHAT, secrets=(SECRET,), now=101).side
        == "service"
    )
    flags = {"chat.talk": Flag("chat.talk", "chat", 100, "x", writes=True)}
    own = ControlState(8, flags, {"chat": Placement("chat", DataState.OWN, 2)})
    talk = Question("POST", "/api/chat/talk", headers={"X-Strangler-Override": token})
    assert explain(talk, TABLE, own, configured=CHAT, secrets=(SECRET,), now=1).reason == "pinned"
