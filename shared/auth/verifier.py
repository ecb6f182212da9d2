"""Verifies tokens: the only module that asks python-jose whether a signature is good.

The issuer is chosen from an allow-list, the key by its id, the algorithm by the key.
"""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from jose import jws
from prometheus_client import Counter, Gauge

from shared.auth.claims import ClaimRules, TokenExpiredError, TokenRefusedError
from shared.auth.key_sources import KeySource
from shared.auth.keys import VerificationKey, check_backend
from shared.auth.principal import Principal
from shared.auth.token_cache import TokenCache
from shared.errors import CallerError, Code, OperatorError

log = structlog.get_logger(__name__)

MAX_TOKEN_BYTES = 16 * 1024
MAX_HEADER_BYTES = 2 * 1024
_TYPES = frozenset({"jwt", "at+jwt"})  # RFC 7519, 5.1; RFC 9068, 2.1
_SHAPE = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+")

TOKENS_REFUSED = Counter("auth_tokens_refused_total", "Tokens not accepted", ("reason",))
CLOCK_SKEW = Gauge(
    "auth_clock_skew_seconds", "How far the last token from the future was ahead", ("issuer",)
)


@dataclass(frozen=True, slots=True)
class Issuer:
    """Somebody whose tokens are accepted: the rules for claims, and keys by algorithm."""

    rules: ClaimRules
    keys: Mapping[str, KeySource]


class TokenVerifier:
    """Turns a bearer token into a Principal.

    >>> principal = await verifier.verify(token)

    Raises CallerError TOKEN_INVALID or TOKEN_EXPIRED, and PeerError when an issuer's keys cannot be
    had (503: a client must not sign its user out because of that).
    """

    def __init__(
        self, issuers: Sequence[Issuer], *, clock: Callable[[], float] = time.time
    ) -> None:
        check_backend()
        self._by_name = {issuer.rules.issuer: issuer for issuer in issuers}
        if len(self._by_name) != len(issuers):
            raise OperatorError("two token issuers have the same name; give each its own")
        local = [issuer for issuer in issuers if issuer.rules.kind == "local"]
        self._local = local[0] if local else None
        self._sources = tuple({id(s): s for i in issuers for s in i.keys.values()}.values())
        self._clock = clock
        self._cache = TokenCache(clock=clock)
        self._generations = self._current_generations()

    async def verify(self, token: str) -> Principal:
        """The bearer of the token."""
        cached = self.remembered(token)
        if cached is not None:
            return cached
        generations = self._generations
        try:
            principal = await self._decide(token)
        except TokenRefusedError as refusal:
            TOKENS_REFUSED.labels(refusal.reason).inc()
            log.info("token_refused", reason=refusal.reason)
            if isinstance(refusal, TokenExpiredError):
                raise CallerError(Code.TOKEN_EXPIRED, "The token has expired") from None
            raise CallerError(Code.TOKEN_INVALID, "The token is not valid") from None
        self._forget_if_keys_changed()
        if generations == self._generations:  # else the key that signed it may be gone
            self._cache.put(token, principal)
        return principal

    def remembered(self, token: str) -> Principal | None:
        """The bearer if the token was verified a moment ago; costs a hash and a look-up."""
        self._forget_if_keys_changed()
        return self._cache.get(token) if len(token) <= MAX_TOKEN_BYTES and token.isascii() else None

    @property
    def issuer_names(self) -> tuple[str | None, ...]:
        """The allow-list; None stands for a local issuer without a name."""
        return tuple(self._by_name)

    def forget(self) -> None:
        """Verify every token anew from now on."""
        self._cache.clear()

    async def _decide(self, token: str) -> Principal:
        header, claims = _unverified(token)
        _check_header(header)
        issuer = self._issuer_of(claims)
        source = issuer.keys.get(header["alg"])
        if source is None:
            raise TokenRefusedError("wrong_algorithm")
        kid = header.get("kid")
        candidates = await source.candidates(kid if isinstance(kid, str) else None)
        if not candidates:
            raise TokenRefusedError("unknown_key")
        if not any(_is_signed(token, key) for key in candidates if key.algorithm == header["alg"]):
            raise TokenRefusedError("bad_signature")
        now = self._clock()
        issued = claims.get("iat")
        if isinstance(issued, int) and issued > now:
            CLOCK_SKEW.labels(issuer.rules.kind).set(issued - now)
        return issuer.rules.principal(claims, now)

    def _issuer_of(self, claims: Mapping[str, Any]) -> Issuer:
        """By exact name; a name nobody has, or none, can only be the local issuer's affair."""
        name = claims.get("iss")
        issuer = self._by_name.get(name) if isinstance(name, str) else None
        issuer = issuer or self._local
        if issuer is None:
            raise TokenRefusedError("wrong_issuer")
        return issuer

    def _forget_if_keys_changed(self) -> None:
        if len(self._sources) and (current := self._current_generations()) != self._generations:
            self._generations = current
            self._cache.clear()

    def _current_generations(self) -> int:
        return sum(source.generation for source in self._sources)


def _unverified(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims as they stand, to choose the key by; nothing in them is believed yet."""
    if len(token) > MAX_TOKEN_BYTES:
        raise TokenRefusedError("too_long")
    shape = _SHAPE.fullmatch(token)
    if shape is None:
        raise TokenRefusedError("malformed")
    if len(shape[1]) * 3 // 4 > MAX_HEADER_BYTES:
        raise TokenRefusedError("header_too_long")
    return _json_object(shape[1]), _json_object(shape[2])


def _json_object(segment: str) -> dict[str, Any]:
    try:
        found = json.loads(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))
    except (ValueError, RecursionError):
        raise TokenRefusedError("malformed") from None
    if not isinstance(found, dict):
        raise TokenRefusedError("malformed")
    return found


def _check_header(header: Mapping[str, Any]) -> None:
    if not isinstance(header.get("alg"), str):
        raise TokenRefusedError("wrong_algorithm")
    if "crit" in header:
        raise TokenRefusedError("critical_header")  # RFC 7515, 4.1.11: not understood, so refused
    kind = header.get("typ")
    if kind is not None and (not isinstance(kind, str) or kind.lower() not in _TYPES):
        raise TokenRefusedError("wrong_type")


def _is_signed(token: str, key: VerificationKey) -> bool:
    try:
        jws.verify(token, key.key, algorithms=[key.algorithm])
    except Exception:  # python-jose lets errors of its back ends through
        return False
    return True
