"""The signed-in person's own account: read, sync, change, delete."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import Response

from monolith.auth.account_changes import (
    create_outside_user,
    erase_account,
    is_deleted,
    update_outside_user,
)
from monolith.auth.accounts import read_user
from monolith.auth.models import DetailsIn, SyncOut, User
from monolith.auth.oauth import link
from monolith.auth.passwords import Passwords
from monolith.auth.router import router
from monolith.auth.sessions import revoke_all
from monolith.calls import Call, CurrentCall, empty, reply, tag_of, tagged
from monolith.database import Connection, emit
from monolith.errors import ApiError, invalid_field
from monolith.ownership import owns_image
from monolith.routes import UNCHANGED
from monolith.tokens import UserToken

PROFILE = ("name", "avatar_media_id", "phone", "country", "language", "birth_year", "preferences")
HOSTED = "supabase"


@router.route(
    "me",
    "GET",
    "/api/auth/users/me",
    auth="user",
    kind="read",
    bucket="default",
    answer=User,
    also=UNCHANGED,
)
async def me(call: CurrentCall) -> Response:
    user, changed_at = await read_user(call.context, call.context.database, call.user_id)
    return tagged(call, tag_of(changed_at), {}, lambda: user)


@router.route(
    "sync",
    "POST",
    "/api/auth/sync",
    auth="user",
    kind="write",
    bucket="default",
    answer=SyncOut,
    provisioned=False,
)
async def sync(call: CurrentCall) -> Response:
    token = call.token
    if token is None:
        raise ApiError("AUTH_REQUIRED", "Sign in first")
    async with call.context.database.transaction() as connection:
        gone = await is_deleted(connection, token.user_id)
        if gone:
            raise ApiError("ACCOUNT_DELETED", "This account was deleted")
        created = gone is None and await _provision(connection, call, token)
        if not created:
            await update_outside_user(
                connection, token.user_id, token.email, token.name, call.request_id
            )
        user, _ = await read_user(call.context, connection, token.user_id)
    return reply(SyncOut(user=user, created=created))


async def _provision(connection: Connection, call: Call, token: UserToken) -> bool:
    """Make the row of a token's user; False if another request was quicker."""
    if token.email is None:
        raise invalid_field("token.email", "is needed to make an account")
    provider = token.provider or HOSTED
    made = await create_outside_user(
        connection, token.user_id, token.email, token.name, provider, call.request_id
    )
    if made is not None:
        await link(connection, HOSTED, str(made), made)
    return made is not None


@router.route(
    "update_details",
    "PUT",
    "/api/auth/users/me/details",
    auth="user",
    kind="write",
    bucket="default",
    answer=User,
)
async def update_details(call: CurrentCall, body: DetailsIn) -> Response:
    given = {name: getattr(body, name) for name in body.model_fields_set}
    avatar = given.get("avatar_media_id")
    if avatar is not None and not await owns_image(call, avatar):
        raise invalid_field("body.avatar_media_id", "is not an image of yours")
    password_hash = None
    if "password" in given:
        password_hash = await call.context.part(Passwords).hash(body.password)
    async with call.context.database.transaction() as connection:
        changed = await _change_profile(connection, call, given)
        if given.get("onboarding_status") is not None:
            await connection.execute(
                "UPDATE users SET onboarding_status = $2 WHERE id = $1",
                call.user_id,
                body.onboarding_status,
            )
            changed.append("onboarding_status")
        if password_hash is not None:
            await _change_password(connection, call, password_hash)
            changed.append("password")
        if changed:
            await emit(
                connection,
                "user.updated",
                call.user_id,
                {"changed": changed},
                "auth",
                call.request_id,
            )
        user, _ = await read_user(call.context, connection, call.user_id)
    return reply(user)


async def _change_profile(
    connection: Connection, call: Call, given: Mapping[str, Any]
) -> list[str]:
    names = [name for name in PROFILE if name in given]
    if not names:
        return []
    values = [given[name] for name in names]
    columns = ", ".join(names)
    numbers = ", ".join(f"${position}" for position in range(2, len(names) + 2))
    updates = ", ".join(f"{name} = excluded.{name}" for name in names)
    await connection.execute(
        f"INSERT INTO user_profiles (user_id, {columns}) VALUES ($1, {numbers})"  # noqa: S608
        f" ON CONFLICT (user_id) DO UPDATE SET {updates}",
        call.user_id,
        *values,
    )
    return names


async def _change_password(connection: Connection, call: Call, password_hash: str) -> None:
    """The new password ends every other session."""
    await connection.execute(
        "UPDATE users SET password_hash = $2 WHERE id = $1", call.user_id, password_hash
    )
    await revoke_all(connection, call.user_id, call.token.session_id if call.token else None)


@router.route(
    "delete_me",
    "DELETE",
    "/api/auth/users/me",
    auth="user",
    kind="write",
    bucket="default",
    success=204,
)
async def delete_me(call: CurrentCall) -> Response:
    async with call.context.database.transaction() as connection:
        await erase_account(connection, call.user_id, call.request_id)
    return empty()
