"""Builds the edge gate from settings and routes; the only place where it meets Redis and key sets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pydantic import SecretStr
from redis.asyncio import Redis

from router.edge.gate import EdgeGate
from router.edge.identity import IdentitySigner
from shared.auth.claims import ClaimRules
from shared.auth.issuers import LEEWAY_SECONDS, clerk_issuer, supabase_issuer
from shared.auth.key_sources import FixedKeys
from shared.auth.keys import hmac_key
from shared.auth.verifier import Issuer, TokenVerifier
from shared.ratelimit.buckets import RateLimits
from shared.ratelimit.limiter import RateLimiter
from shared.ratelimit.redis_counter import RedisCounter
from shared.routing.routes import RouteSpec


@dataclass(frozen=True, slots=True)
class TokenIssuers:
    """Whose tokens are accepted at the edge: the same variables as those of the apps; empty is none."""

    jwt_secrets: tuple[str, ...] = ()
    jwt_issuer: str = ""
    supabase_url: str = ""
    supabase_jwt_secrets: tuple[str, ...] = ()
    clerk_issuer: str = ""
    clerk_jwt_key: str = ""
    clerk_authorized_parties: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return "TokenIssuers()"  # no secret in a log

    def build(self) -> list[Issuer]:
        """The issuers, local ones first. Raises OperatorError when a key cannot be used."""
        issuers: list[Issuer] = []
        if self.jwt_secrets:
            keys = FixedKeys([hmac_key(secret) for secret in self.jwt_secrets])
            rules = ClaimRules("local", self.jwt_issuer or None, LEEWAY_SECONDS)
            issuers.append(Issuer(rules, {"HS256": keys}))
        if self.supabase_url:
            legacy = tuple(SecretStr(secret) for secret in self.supabase_jwt_secrets)
            issuers.append(supabase_issuer(self.supabase_url, legacy))
        if self.clerk_issuer:
            parties = frozenset(self.clerk_authorized_parties)
            issuers.append(clerk_issuer(self.clerk_issuer, parties, self.clerk_jwt_key or None))
        return issuers


def build_gate(
    routes: Iterable[RouteSpec],
    redis: Redis | None,
    token_issuers: TokenIssuers,
    identity_secrets: tuple[str, ...] = (),
) -> EdgeGate:
    """The gate for these routes. Without Redis nothing is limited, as when Redis is down."""
    issuers = token_issuers.build()
    return EdgeGate(
        TokenVerifier(issuers) if issuers else None,
        IdentitySigner(identity_secrets[0]) if identity_secrets else None,
        _limiters(routes, redis) if redis is not None else {},
    )


def _limiters(routes: Iterable[RouteSpec], redis: Redis) -> Mapping[str, RateLimiter]:
    counter = RedisCounter(redis)
    return {
        route.name: RateLimiter(counter, RateLimits({limit.bucket: limit.requests}))
        for route in routes
        if (limit := route.policy.rate_limit) is not None
    }
