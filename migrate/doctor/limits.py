"""Do the time and size limits of the manifest fit the heartbeats and limits of the apps? Pure."""

from __future__ import annotations

from migrate.doctor.finding import Finding, error, ok, warning
from shared.manifest import Manifest, Route, Upstream
from shared.web.bodies import JSON_LIMIT_BYTES, WEBHOOK_LIMIT_BYTES
from shared.web.gate import GENERATE_SECONDS, READ_WRITE_SECONDS
from shared.web.streams import DRAIN_SECONDS, FIRST_EVENT_SECONDS, PING_SECONDS
from shared.web.uploads import IMAGE_LIMIT_BYTES

FORM_OVERHEAD_BYTES = 64 * 1024  # boundaries and small fields around one file


def limit_findings(manifest: Manifest) -> list[Finding]:
    """Every limit that would cut what an app is allowed to do; one `ok` when there is none."""
    found: list[Finding] = []
    for route in manifest.routes:
        for app, upstream in _apps(manifest, route):
            found += _waits(route, app, upstream)
        found += _sizes(manifest, route)
    found += _drains(manifest)
    return found or [ok("limits", "every limit of the manifest fits the apps")]


def _apps(manifest: Manifest, route: Route) -> list[tuple[str, Upstream]]:
    """Both apps that may answer a route."""
    service = manifest.services[route.service]
    return [
        (manifest.monolith.app, manifest.monolith.upstream),
        (service.app, service.upstream),
    ]


def _waits(route: Route, app: str, upstream: Upstream) -> list[Finding]:
    subject = f"{route.name} at {app}"
    if route.kind in ("stream", "websocket"):
        if upstream.activity_seconds <= PING_SECONDS:
            return [
                error(
                    subject,
                    f"the router cuts after {upstream.activity_seconds:g} s of silence, and pings"
                    f" come every {PING_SECONDS:g} s; raise activity_seconds",
                )
            ]
        if upstream.activity_seconds < 2 * PING_SECONDS:
            return [
                warning(
                    subject,
                    f"one late ping (every {PING_SECONDS:g} s) breaks the stream;"
                    f" raise activity_seconds to {2 * PING_SECONDS:g} or more",
                )
            ]
    needed = _needed_seconds(route)
    given = route.first_byte_seconds or upstream.first_byte_seconds
    if given < needed:
        return [
            error(
                subject,
                f"the router waits {given:g} s, the app may take {needed:g} s;"
                f" raise first_byte_seconds",
            )
        ]
    return []


def _needed_seconds(route: Route) -> float:
    if route.kind == "stream":
        return FIRST_EVENT_SECONDS
    return GENERATE_SECONDS if route.bucket == "generate" else READ_WRITE_SECONDS


def _sizes(manifest: Manifest, route: Route) -> list[Finding]:
    needed = {
        "write": JSON_LIMIT_BYTES,
        "stream": JSON_LIMIT_BYTES,
        "webhook": WEBHOOK_LIMIT_BYTES,
        "upload": IMAGE_LIMIT_BYTES + FORM_OVERHEAD_BYTES,
    }.get(route.kind, 0)
    given = manifest.router.max_body_bytes if route.max_body_bytes is None else route.max_body_bytes
    if given < needed:
        return [
            error(
                route.name,
                f"the router takes {given} bytes, the contract allows {needed};"
                " raise max_body_bytes",
            )
        ]
    return []


def _drains(manifest: Manifest) -> list[Finding]:
    found: list[Finding] = []
    if manifest.router.drain_seconds < DRAIN_SECONDS:
        found.append(
            error(
                "router",
                f"it drains for {manifest.router.drain_seconds:g} s, a reply may stream for"
                f" {DRAIN_SECONDS:g} s after a stop; raise drain_seconds",
            )
        )
    for service in manifest.services.values():
        streams = any(route.kind == "stream" for route in service.routes)
        if streams and service.dokku.wait_to_retire_seconds < DRAIN_SECONDS:
            found.append(
                error(
                    service.app,
                    f"Dokku ends old containers after {service.dokku.wait_to_retire_seconds} s,"
                    f" replies may take {DRAIN_SECONDS:g} s; raise wait_to_retire_seconds",
                )
            )
    return found
