"""Which key of a request a percent sticks to; pure, decides nothing and verifies nothing.

A token is only read here, never trusted: its `sub` chooses a side, the apps verify it. Where a request
has no such key, the next weaker one is taken: user, then session, then address.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal, Protocol

StickyKind = Literal["user", "session", "ip", "header", "cookie", "body"]

#: Cookie that carries a session where no token does.
SESSION_COOKIE: Final = b"session_id"
#: A JSON body above this size is not read for a key (webhooks are at most 1 MiB, contract, 1.13).
MAX_KEY_BODY_BYTES: Final = 1024 * 1024
#: Tokens whose claims are remembered; about 1 KiB each.
_REMEMBERED_TOKENS: Final = 4096


class KeySource(Protocol):
    """What a key is taken from. `header` takes a lower-case name and gives the first value."""

    @property
    def address(self) -> str: ...

    def header(self, name: bytes) -> bytes | None: ...


@dataclass(frozen=True, slots=True)
class StickyRule:
    """A parsed `sticky` entry of the manifest; `name` names the header, the cookie or the JSON path."""

    kind: StickyKind
    name: str = ""


@dataclass(frozen=True, slots=True)
class StickyKey:
    """The key of one request and where it came from."""

    value: str
    origin: str

    @property
    def is_in_head(self) -> bool:
        """Whether the same header lines always give the same key."""
        return self.origin != "ip" and not self.origin.startswith("body:")


@dataclass(frozen=True, slots=True)
class TokenClaims:
    """The two claims that a key is made of, unverified."""

    subject: str | None
    session: str | None


_NO_CLAIMS: Final = TokenClaims(None, None)


def parse_rule(text: str) -> StickyRule:
    """`user`, `session`, `ip`, `header:<name>`, `cookie:<name>` or `body:<json.path>`; ValueError else."""
    kind, _, name = text.partition(":")
    if kind in {"user", "session", "ip"} and not name:
        return StickyRule(kind)  # type: ignore[arg-type]
    if kind in {"header", "cookie", "body"} and name:
        return StickyRule(kind, name.lower() if kind == "header" else name)  # type: ignore[arg-type]
    raise ValueError(
        f"sticky is {text!r}; use user, session, ip, header:<name>,"
        " cookie:<name> or body:<json.path>"
    )


def sticky_key(rule: StickyRule, source: KeySource, body: bytes | None = None) -> StickyKey:
    """The key of a request under a rule, never empty."""
    if rule.kind == "ip":
        return StickyKey(source.address, "ip")
    if rule.kind == "header":
        value = source.header(rule.name.encode("latin-1"))
        return StickyKey(value.decode("latin-1"), rule.name) if value else _weaker(source)
    if rule.kind == "cookie":
        value = cookie_value(source.header(b"cookie"), rule.name.encode("latin-1"))
        return StickyKey(value.decode("latin-1"), rule.name) if value else _weaker(source)
    if rule.kind == "body":
        found = body_value(body, rule.name) if body is not None else None
        return StickyKey(found, f"body:{rule.name}") if found else StickyKey(source.address, "ip")
    if rule.kind == "session":
        return _weaker(source)
    token = bearer_token(source)
    if token is not None:
        subject = token_claims(token).subject
        if subject is not None:
            return StickyKey(subject, "user")
    return _weaker(source)


def bearer_token(source: KeySource) -> bytes | None:
    """The token of `Authorization: Bearer`, or of the WebSocket subprotocol `bearer.<jwt>`."""
    value = source.header(b"authorization")
    if value is not None:
        if value[:7].lower() == b"bearer ":
            return value[7:].strip()
        return None
    offered = source.header(b"sec-websocket-protocol")
    if offered is not None:
        for protocol in offered.split(b","):
            name = protocol.strip()
            if name.startswith(b"bearer."):
                return name[7:]
    return None


@lru_cache(maxsize=_REMEMBERED_TOKENS)
def token_claims(token: bytes) -> TokenClaims:
    """`sub` and `session_id` of a JWT, read without verification; nothing of what cannot be read."""
    parts = token.split(b".")
    if len(parts) != 3:
        return _NO_CLAIMS
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + b"=" * (-len(parts[1]) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        return _NO_CLAIMS
    if not isinstance(claims, dict):
        return _NO_CLAIMS
    return TokenClaims(_text(claims.get("sub")), _text(claims.get("session_id")))


def cookie_value(header: bytes | None, name: bytes) -> bytes | None:
    """One cookie of a Cookie header."""
    if header is None:
        return None
    for pair in header.split(b";"):
        key, _, value = pair.strip().partition(b"=")
        if key == name:
            return value.strip(b'"')
    return None


def body_value(body: bytes, path: str) -> str | None:
    """The string or integer at a dotted path of a JSON body, None when there is none."""
    if len(body) > MAX_KEY_BODY_BYTES:
        return None
    try:
        value: Any = json.loads(body)
    except (ValueError, RecursionError):
        return None
    for step in path.split("."):
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return _text(value)


def _weaker(source: KeySource) -> StickyKey:
    token = bearer_token(source)
    if token is not None:
        session = token_claims(token).session
        if session is not None:
            return StickyKey(session, "session")
    cookie = cookie_value(source.header(b"cookie"), SESSION_COOKIE)
    if cookie:
        return StickyKey(cookie.decode("latin-1"), "session")
    return StickyKey(source.address, "ip")


def _text(value: object) -> str | None:
    if isinstance(value, str):
        return value or None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return None
