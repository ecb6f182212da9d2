"""Builds the route table of a manifest; pure, the only place where the two meet."""

from __future__ import annotations

from shared.manifest import Manifest, Route
from shared.routing.policy import RoutePolicy
from shared.routing.routes import Alias, RouteSpec, RouteTable


def route_table(manifest: Manifest) -> RouteTable:
    """The compiled table of every route; raises RouteConflictError on overlapping entries."""
    return RouteTable(
        (_spec(manifest, route) for route in manifest.routes),
        (Alias(alias.prefix, alias.target) for alias in manifest.aliases),
    )


def _spec(manifest: Manifest, route: Route) -> RouteSpec:
    upstream = manifest.services[route.service].upstream
    return RouteSpec(
        name=route.name,
        service=route.service,
        method=route.method,
        path=route.path,
        kind=route.kind,
        hosts=route.hosts,
        sticky=route.sticky,
        writes=route.writes,
        idempotency=route.idempotency,
        fallback=route.may_fall_back,
        shadow=route.shadow,
        rewrite=route.rewrite,
        bucket=route.bucket,
        first_byte_seconds=route.first_byte_seconds or upstream.first_byte_seconds,
        max_body_bytes=route.max_body_bytes,
        policy=route.policy or RoutePolicy(),
    )
