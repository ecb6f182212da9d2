"""The two addresses that hosted sign-in services call."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from typing import Any

from fastapi import Response

from monolith.auth.router import router
from monolith.calls import Call, CurrentCall, reply
from monolith.gates import bearer, effective_tier
from monolith.values import UUID_TEXT, Wire
from monolith.webhooks.inbox import parse, unix_time
from monolith.webhooks.receive import Received, receive
from monolith.webhooks.signatures import Signed, check_fixed, check_standard, signature_invalid

DATABASE_TYPES = frozenset({"INSERT", "UPDATE", "DELETE"})


class HookRefusal(Wire):
    http_code: int
    message: str


class HookAnswer(Wire):
    error: HookRefusal


class ClaimsAnswer(Wire):
    claims: dict[str, Any]


class Empty(Wire):
    """`{}`."""


def _created(call: Call) -> Any:
    for name in ("webhook-timestamp", "svix-timestamp"):
        value = call.request.headers.get(name, "")
        if value.isdecimal():
            return unix_time(int(value))
    return None


@router.route(
    "webhook_supabase",
    "POST",
    "/api/webhooks/supabase",
    auth="signature",
    kind="webhook",
    bucket="none",
)
async def webhook_supabase(call: CurrentCall) -> Response:
    raw = await call.request.body()
    signed = _check_supabase(call, raw)
    body = parse(raw)
    metadata = body.get("metadata")
    if isinstance(metadata, dict) and metadata.get("name") == "before-user-created":
        return await _before_user_created(call, body)
    if "claims" in body and "user_id" in body:
        return await _access_token(call, body)
    kind = body.get("type")
    if _is_row_change(kind):
        table = (body.get("schema"), body.get("table"))
        event_id = f"sha256:{hashlib.sha256(raw).hexdigest()}"
        event_type = kind if table == ("auth", "users") else f"{kind}:{body.get('table')}"
        return await receive(call, "supabase", event_id, event_type, _created(call))
    event_id = signed.message_id or f"sha256:{hashlib.sha256(raw).hexdigest()}"
    return await receive(call, "supabase", event_id, kind, _created(call))


def _check_supabase(call: Call, raw: bytes) -> Signed:
    """Signed like Standard Webhooks; database webhooks are unsigned and bring a fixed token."""
    secrets = call.context.settings.webhook_secrets.get("supabase", ())
    token = bearer(call.request.headers.get("authorization"))
    if token is not None and not _has_signature(call.request.headers):
        check_fixed(token, secrets)
        if not _is_row_change(parse(raw).get("type")):
            raise signature_invalid()
        return Signed(None)
    return check_standard(call.request.headers, raw, secrets, time.time())


def _is_row_change(kind: object) -> bool:
    return isinstance(kind, str) and kind in DATABASE_TYPES


def _has_signature(headers: Mapping[str, str]) -> bool:
    return "webhook-signature" in headers or "svix-signature" in headers


async def _before_user_created(call: Call, body: Mapping[str, Any]) -> Response:
    """Refuse a sign-up whose address belongs to an account here; the sender only reads 200."""
    user = body.get("user")
    email = user.get("email") if isinstance(user, dict) else None
    if not isinstance(email, str) or "\x00" in email:
        return reply(Empty())
    taken = await call.context.database.value(
        "SELECT true FROM users WHERE lower(email) = lower($1) AND deleted_at IS NULL"
        " AND confirmed",
        email,
    )
    if not taken:
        return reply(Empty())
    message = "An account with this address exists"
    return reply(HookAnswer(error=HookRefusal(http_code=403, message=message)))


async def _access_token(call: Call, body: Mapping[str, Any]) -> Response:
    """The claims of a token about to be issued, with the effective tier as a hint."""
    claims = dict(body["claims"]) if isinstance(body["claims"], dict) else {}
    user_id, tier = body["user_id"], 0
    if isinstance(user_id, str) and UUID_TEXT.fullmatch(user_id):
        tier = await effective_tier(call.context, user_id)
    app = claims.get("app_metadata")
    claims["app_metadata"] = {**(app if isinstance(app, dict) else {}), "tier": tier}
    return reply(ClaimsAnswer(claims=claims))


@router.route(
    "webhook_clerk",
    "POST",
    "/api/webhooks/clerk",
    auth="signature",
    kind="webhook",
    bucket="none",
    answer=Received,
)
async def webhook_clerk(call: CurrentCall) -> Response:
    raw = await call.request.body()
    secrets = call.context.settings.webhook_secrets.get("clerk", ())
    signed = check_standard(call.request.headers, raw, secrets, time.time())
    body = parse(raw)
    return await receive(call, "clerk", signed.message_id, body.get("type"), _created(call))
