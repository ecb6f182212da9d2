"""Signing in with Google, Apple or Facebook."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from fastapi import Response

from monolith.auth.accounts import find_by_email, insert_user, user_facts
from monolith.auth.identity_provider import Identity, IdentityDesk, credentials_invalid
from monolith.auth.models import OauthIn, OauthSession
from monolith.auth.router import router
from monolith.auth.sign_in import announce_user, confirm_account, signed_in
from monolith.calls import Call, CurrentCall, reply
from monolith.database import Connection

NAME_MAX = 80
EMAIL_MAX = 320


@router.route(
    "oauth",
    "POST",
    "/api/auth/oauth/{provider}",
    auth="public",
    kind="write",
    bucket="sensitive",
    answer=OauthSession,
)
async def oauth(
    call: CurrentCall, provider: Literal["google", "apple", "facebook"], body: OauthIn
) -> Response:
    desk = call.context.part(IdentityDesk)
    identity = await desk.provider.identify(provider, body.id_token, body.nonce)
    async with call.context.database.transaction() as connection:
        user_id, created = await _account(call, connection, provider, identity)
        session = await signed_in(call, connection, user_id, provider)
    return reply(OauthSession(**session.model_dump(), created=created))


async def _account(
    call: Call, connection: Connection, provider: str, identity: Identity
) -> tuple[UUID, bool]:
    """The account of an identity: linked before, linked now by its address, or new."""
    known = await connection.fetchval(
        "SELECT user_id FROM auth_identities WHERE provider = $1 AND external_id = $2",
        provider,
        identity.external_id,
    )
    if known is not None:
        return UUID(str(known)), False
    email = identity.email
    if email is None or not 3 <= len(email) <= EMAIL_MAX or "\x00" in email:
        raise credentials_invalid()
    name = (identity.name or "").replace("\x00", "").strip()[:NAME_MAX] or None
    made = await insert_user(connection, email, None, confirmed=True, name=name)
    if made is not None:
        await link(connection, provider, identity.external_id, made)
        facts = await user_facts(connection, made)
        await announce_user(call.request_id, connection, made, facts, provider)
        return made, True
    owner = await find_by_email(connection, email)
    if owner is None:
        raise credentials_invalid()
    if not owner["confirmed"]:
        # Whoever typed this address before never proved it: their password must not stay.
        await connection.execute("UPDATE users SET password_hash = NULL WHERE id = $1", owner["id"])
        await confirm_account(call, connection, owner["id"], provider)
    await link(connection, provider, identity.external_id, owner["id"])
    return UUID(str(owner["id"])), False


async def link(connection: Connection, provider: str, external_id: str, user_id: UUID) -> None:
    await connection.execute(
        "INSERT INTO auth_identities (provider, external_id, user_id) VALUES ($1, $2, $3)"
        " ON CONFLICT DO NOTHING",
        provider,
        external_id,
        user_id,
    )
