"""The two addresses that hosted sign-in services call (contract, 2.1): deliveries, and hooks that ask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fastapi import Request
from pydantic import RootModel

from services.auth import repository
from services.auth.supabase_effects import uuid_of
from shared.contract.auth import WebhookReceived
from shared.placement import Database
from shared.web.endpoints import ServiceRouter
from shared.webhooks import Delivery, SignatureInvalidError, WebhookIntake

router = ServiceRouter()

SUPABASE, CLERK = "supabase", "clerk"
ROW_CHANGES = frozenset({"INSERT", "UPDATE", "DELETE"})
_TAKEN = {"error": {"http_code": 403, "message": "An account with this address exists"}}
_TIER = "SELECT tier FROM user_tiers WHERE user_id = $1"


class HookAnswer(RootModel[dict[str, Any]]):
    """`{}`, a refusal, claims, or what every delivery gets."""


@router.endpoint("auth.webhook_supabase")
async def webhook_supabase(request: Request) -> HookAnswer:
    intake: WebhookIntake = request.app.state.webhooks
    database: Database = request.app.state.database
    body = await request.body()
    delivery = intake.verify(SUPABASE, request.headers, body)
    _refuse_unsigned_events(request.headers, delivery.payload)
    payload = delivery.payload
    metadata = payload.get("metadata")
    if isinstance(metadata, Mapping) and metadata.get("name") == "before-user-created":
        return HookAnswer(await _before_user_created(database, payload))
    if "claims" in payload and "user_id" in payload:
        return HookAnswer({"claims": await _claims(database, payload)})
    receipt = await intake.keep(stored_as(delivery), request.headers)
    return HookAnswer(dict(receipt.body()))


@router.endpoint("auth.webhook_clerk")
async def webhook_clerk(request: Request) -> WebhookReceived:
    intake: WebhookIntake = request.app.state.webhooks
    receipt = await intake.receive(CLERK, request.headers, await request.body())
    return WebhookReceived(duplicate=receipt.duplicate)


def stored_as(delivery: Delivery) -> Delivery:
    """The delivery under the type that both sides know: the bare verb for rows of `auth.users`."""
    kind = delivery.payload.get("type")
    if kind not in ROW_CHANGES:
        return delivery
    schema, table = delivery.payload.get("schema"), delivery.payload.get("table")
    is_users = (schema, table) == ("auth", "users")
    return replace(delivery, event_type=str(kind) if is_users else f"{kind}:{table}")


def _refuse_unsigned_events(headers: Mapping[str, str], payload: Mapping[str, Any]) -> None:
    """A fixed token is only good for database webhooks, whose sender cannot sign (contract, 1.13)."""
    is_signed = "webhook-signature" in headers or "svix-signature" in headers
    if not is_signed and payload.get("type") not in ROW_CHANGES:
        raise SignatureInvalidError("missing")


async def _before_user_created(database: Database, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Refuse a sign-up whose address belongs to an account here; the sender only reads 200."""
    user = payload.get("user")
    email = user.get("email") if isinstance(user, Mapping) else None
    if not isinstance(email, str) or "\x00" in email:
        return {}
    is_taken = await database.read(lambda c: repository.is_confirmed_address(c, email))
    return _TAKEN if is_taken else {}


async def _claims(database: Database, payload: Mapping[str, Any]) -> dict[str, Any]:
    """The claims of a token about to be issued, with the effective tier as a hint."""
    given = payload["claims"]
    claims = dict(given) if isinstance(given, Mapping) else {}
    user_id = uuid_of(payload["user_id"])
    tier = await database.fetchval(_TIER, user_id) if user_id is not None else None
    app = claims.get("app_metadata")
    claims["app_metadata"] = {**(app if isinstance(app, Mapping) else {}), "tier": int(tier or 0)}
    return claims
