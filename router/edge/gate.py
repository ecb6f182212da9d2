"""Checks a request against the edge policy of its route: method, address, token, rate; knows no app."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Mapping
from functools import lru_cache

from router.edge.identity import IdentitySigner
from router.exchange import Exchange
from router.failure import Cause, Refusal
from shared.auth.principal import Principal
from shared.auth.verifier import TokenVerifier
from shared.errors import CallerError, Code, PeerError
from shared.ratelimit.limiter import RateLimiter
from shared.routing.policy import RoutePolicy
from shared.routing.routes import RouteSpec
from shared.routing.sticky import bearer_token

_ROLES = {"user": "authenticated", "service": "service_role"}
_SECURITY_LINES = (
    (b"x-content-type-options", b"\r\nX-Content-Type-Options: nosniff"),
    (b"x-frame-options", b"\r\nX-Frame-Options: DENY"),
    (b"referrer-policy", b"\r\nReferrer-Policy: no-referrer"),
)
_HSTS = (
    b"strict-transport-security",
    b"\r\nStrict-Transport-Security: max-age=15768000",  # half a year
)


class EdgeGate:
    """Policies of one worker. A part that is not configured refuses the routes that need it."""

    def __init__(
        self,
        verifier: TokenVerifier | None,
        signer: IdentitySigner | None,
        limiters: Mapping[str, RateLimiter],
    ) -> None:
        self._verifier = verifier
        self._signer = signer
        self._limiters = limiters

    def check(self, exchange: Exchange, spec: RouteSpec) -> bool:
        """What can be checked at once; whether the rest needs `wait_for`. Raises Refusal."""
        policy = spec.policy
        head = exchange.head
        if policy.allowed_methods and head.method not in policy.allowed_methods:
            raise Refusal(
                Code.METHOD_NOT_ALLOWED,
                "This method is not served",
                Cause.POLICY,
                headers=(("Allow", ", ".join(policy.allowed_methods)),),
            )
        if policy.allowed_networks and not _is_inside(head.address, policy.allowed_networks):
            raise Refusal(Code.FORBIDDEN, "This address is not allowed here", Cause.POLICY)
        if head.method == "OPTIONS" and b"access-control-request-method" in head.fields:
            return False  # a preflight needs no token and is not counted (contract, 1.3)
        if policy.rate_limit is not None:
            return True
        if policy.auth == "none":
            return False
        principal = self._remembered(exchange)
        if principal is None:
            return True
        self._accept(exchange, policy, principal)
        return False

    async def wait_for(self, exchange: Exchange, spec: RouteSpec) -> None:
        """The checks that may have to wait for keys or counters. Raises Refusal."""
        policy = spec.policy
        principal: Principal | None = None
        if policy.auth != "none":
            principal = await self._verified(exchange)
            self._accept(exchange, policy, principal)
        if policy.rate_limit is not None:
            await self._count(exchange, spec, policy, principal)

    def response_lines(
        self, exchange: Exchange, policy: RoutePolicy, fields: Mapping[bytes, bytes]
    ) -> bytes:
        """Lines for the app's answer that it does not have itself."""
        lines = b""
        if policy.security_headers:
            for name, line in _SECURITY_LINES:
                if name not in fields:
                    lines += line
            if exchange.forwarded.scheme == "https" and _HSTS[0] not in fields:
                lines += _HSTS[1]
        if exchange.extra_response_lines and b"x-ratelimit-limit" not in fields:
            lines += exchange.extra_response_lines
        return lines

    def _remembered(self, exchange: Exchange) -> Principal | None:
        token = bearer_token(exchange.head)
        if token is None or self._verifier is None:
            return None
        return self._verifier.remembered(token.decode("latin-1"))

    async def _verified(self, exchange: Exchange) -> Principal:
        token = bearer_token(exchange.head)
        challenge = (("WWW-Authenticate", "Bearer"),)
        if token is None:
            raise Refusal(Code.AUTH_REQUIRED, "This needs a token", Cause.POLICY, headers=challenge)
        if self._verifier is None:
            raise Refusal(Code.UNAVAILABLE, "Tokens cannot be checked here", Cause.POLICY)
        try:
            return await self._verifier.verify(token.decode("latin-1"))
        except CallerError as error:
            raise Refusal(error.code, error.message, Cause.POLICY, headers=challenge) from error
        except PeerError as error:
            raise Refusal(
                Code.UNAVAILABLE,
                "Tokens cannot be checked at the moment",
                Cause.POLICY,
                details={"scope": "all", "until": None, "retry_after": error.retry_after},
                headers=(("Retry-After", str(error.retry_after)),),
            ) from error

    def _accept(self, exchange: Exchange, policy: RoutePolicy, principal: Principal) -> None:
        if principal.role != _ROLES[policy.auth]:
            raise Refusal(Code.FORBIDDEN, "This token does not allow that", Cause.POLICY)
        if policy.identity_headers and self._signer is not None:
            exchange.extra_request_lines = self._signer.line(principal, time.time())

    async def _count(
        self,
        exchange: Exchange,
        spec: RouteSpec,
        policy: RoutePolicy,
        principal: Principal | None,
    ) -> None:
        limit = policy.rate_limit
        limiter = self._limiters.get(spec.name)
        if limit is None or limiter is None:
            return
        subject = exchange.head.address
        if limit.by == "user" and principal is not None and principal.subject is not None:
            subject = principal.subject
        decision = await limiter.count(limit.bucket, subject)
        if decision is None:
            return
        headers = tuple((n.decode(), v.decode()) for n, v in decision.headers())
        exchange.extra_response_lines = b"".join(
            b"\r\n" + _title(name) + b": " + value for name, value in decision.headers()
        )
        if not decision.is_allowed:
            raise Refusal(
                Code.RATE_LIMITED,
                "Too many requests; slow down",
                Cause.RATE_LIMITED,
                details={"bucket": limit.bucket, "retry_after": decision.retry_after},
                headers=(*headers, ("Retry-After", str(decision.retry_after))),
            )


def _title(name: bytes) -> bytes:
    return {
        b"x-ratelimit-limit": b"X-RateLimit-Limit",
        b"x-ratelimit-remaining": b"X-RateLimit-Remaining",
        b"x-ratelimit-reset": b"X-RateLimit-Reset",
    }.get(name, name)


@lru_cache(maxsize=4096)
def _is_inside(address: str, networks: tuple[str, ...]) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(parsed in ipaddress.ip_network(network) for network in networks)
