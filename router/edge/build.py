"""Builds the edge gate from settings and routes; the only place where it meets Redis and key sets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

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


def build_gate(
    routes: Iterable[RouteSpec],
    redis: Redis | None,
    *,
    jwt_secrets: tuple[str, ...],
    jwt_issuer: str,
    identity_secrets: tuple[str, ...],
    supabase_url: str = "",
    clerk_url: str = "",
) -> EdgeGate:
    """The gate for these routes. Without Redis nothing is limited, as when Redis is down."""
    issuers: list[Issuer] = []
    if jwt_secrets:
        keys = FixedKeys([hmac_key(secret) for secret in jwt_secrets])
        rules = ClaimRules("local", jwt_issuer or None, LEEWAY_SECONDS)
        issuers.append(Issuer(rules, {"HS256": keys}))
    if supabase_url:
        issuers.append(supabase_issuer(supabase_url))
    if clerk_url:
        issuers.append(clerk_issuer(clerk_url, frozenset()))
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
