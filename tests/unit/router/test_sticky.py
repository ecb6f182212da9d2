"""Sticky keys: what a percent sticks to."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field

import pytest

from shared.routing.sticky import StickyKey, body_value, parse_rule, sticky_key, token_claims


@dataclass
class Source:
    headers: dict[bytes, bytes] = field(default_factory=dict)
    address: str = "203.0.113.9"

    def header(self, name: bytes) -> bytes | None:
        return self.headers.get(name)


def token(**claims: object) -> bytes:
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=")
    return b"e30." + body + b".c2ln"


def key(rule: str, body: bytes | None = None, **headers: bytes) -> StickyKey:
    source = Source({name.replace("_", "-").encode(): value for name, value in headers.items()})
    return sticky_key(parse_rule(rule), source, body)


def test_a_user_key_is_the_subject_of_the_token() -> None:
    assert key("user", authorization=b"bearer " + token(sub="u1")) == StickyKey("u1", "user")


def test_a_socket_gives_its_token_as_a_subprotocol() -> None:
    offered = b"scenextras.v1, bearer." + token(sub="u2")
    assert key("user", sec_websocket_protocol=offered) == StickyKey("u2", "user")


def test_without_a_user_the_session_is_taken_and_then_the_address() -> None:
    session = token(session_id="s1")
    assert key("user", authorization=b"Bearer " + session) == StickyKey("s1", "session")
    assert key("user", cookie=b"a=b; session_id=s2") == StickyKey("s2", "session")
    assert key("user") == StickyKey("203.0.113.9", "ip")


@pytest.mark.parametrize(
    "value",
    [
        b"Bearer",
        b"Bearer x",
        b"Bearer a.b.c",
        b"Basic dTpw",
        b"Bearer e30.W10.x",
        b"Bearer ..",
        b"",
    ],
)
def test_a_token_that_cannot_be_read_counts_as_none(value: bytes) -> None:
    assert key("user", authorization=value).origin == "ip"


def test_other_rules_take_their_own_part_of_the_request() -> None:
    bearer = b"Bearer " + token(sub="u1")
    assert key("ip", authorization=bearer) == StickyKey("203.0.113.9", "ip")
    assert key("session", authorization=bearer, cookie=b"session_id=s") == StickyKey("s", "session")
    assert key("header:X-Tenant", x_tenant=b"t1") == StickyKey("t1", "x-tenant")
    assert key("cookie:ab", cookie=b"x=1; ab=2") == StickyKey("2", "ab")
    assert key("header:X-Tenant").origin == "ip"


def test_a_body_key_is_read_from_its_path_and_falls_back_to_the_address() -> None:
    event = json.dumps({"data": {"object": {"customer": "c1", "n": 7, "list": [{"id": "z"}]}}})
    assert key("body:data.object.customer", event.encode()).value == "c1"
    assert key("body:data.object.n", event.encode()).value == "7"
    assert key("body:data.object.list.0.id", event.encode()).value == "z"
    for broken in (b"", b"{", b"[]", b"null", b'{"data":1}', b"[" * 100_000):
        assert key("body:data.object.customer", broken).origin == "ip"
    assert body_value(b" " * (1024 * 1024) + b'{"a":"b"}', "a") is None


@pytest.mark.parametrize("text", ["", "users", "header:", "body", "ip:x", "cookie"])
def test_a_rule_that_does_not_exist_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="sticky is"):
        parse_rule(text)


def test_claims_of_other_types_are_not_keys() -> None:
    assert token_claims(token(sub=["x"], session_id={"a": 1})).subject is None
    assert token_claims(token(sub=True)).subject is None
    assert token_claims(token(sub="")).subject is None
