"""What the public host answers: health, and webhook addresses that must take a POST as it comes."""

from __future__ import annotations

import asyncio

import httpx

from migrate.doctor.finding import Finding, error, ok, warning
from shared.manifest import Manifest, Route

ANSWER_SECONDS = 5.0
#: What a webhook address answers to a delivery without signature (contract, 1.13).
UNSIGNED = 400

_MEANING = {
    401: "asks for a token, which senders do not have",
    403: "is closed to senders",
    404: "is not served",
    405: "takes no POST",
    413: "takes no body",
    429: "is rate limited: a burst of deliveries would be lost",
    503: "does not answer right now",
}


async def address_findings(manifest: Manifest, base_url: str) -> list[Finding]:
    """Ask the public host; sends unsigned deliveries, which every app refuses and nobody stores."""
    async with httpx.AsyncClient(
        base_url=base_url, timeout=ANSWER_SECONDS, follow_redirects=False
    ) as client:
        health = await _health(client)
        webhooks = [route for route in manifest.routes if route.kind == "webhook"]
        return [health, *await asyncio.gather(*(_webhook(client, route) for route in webhooks))]


async def _health(client: httpx.AsyncClient) -> Finding:
    subject = str(client.base_url).rstrip("/") + "/health"
    try:
        answer = await client.get("/health")
    except httpx.HTTPError as problem:
        return error(subject, f"does not answer ({type(problem).__name__}); is the router running?")
    if "server" in answer.headers:
        return warning(subject, f"tells its server: {answer.headers['server'][:40]}")
    try:
        state = answer.json().get("status", "unknown")
    except (ValueError, AttributeError):
        return error(subject, f"answers {answer.status_code} without the contract's JSON")
    return (ok if state == "healthy" else error if state == "unhealthy" else warning)(
        subject, f"{answer.status_code} {state}"
    )


async def _webhook(client: httpx.AsyncClient, route: Route) -> Finding:
    subject = f"{route.method} {route.path}"
    try:
        answer = await client.post(route.path, content=b"{}")
    except httpx.HTTPError as problem:
        return error(subject, f"does not answer ({type(problem).__name__})")
    status = answer.status_code
    if status == UNSIGNED:
        return ok(subject, "refuses unsigned deliveries")
    if 300 <= status < 400:
        return error(
            subject,
            f"redirects to {answer.headers.get('location', 'somewhere')[:80]}: senders count that"
            " as a failure; serve the path as it stands",
        )
    if status < 300:
        return error(subject, "takes deliveries without a signature")
    return error(subject, f"answers {status}: it {_MEANING.get(status, 'fails')}")
