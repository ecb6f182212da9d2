"""The signed-in person's own account."""

from __future__ import annotations

from fastapi import Response

from monolith.auth.accounts import read_user
from monolith.auth.models import User
from monolith.auth.router import router
from monolith.calls import CurrentCall, tag_of, tagged


@router.route(
    "me",
    "GET",
    "/api/auth/users/me",
    auth="user",
    kind="read",
    bucket="default",
    answer=User,
)
async def me(call: CurrentCall) -> Response:
    user, changed_at = await read_user(call.context, call.context.database, call.user_id)
    return tagged(call, tag_of(changed_at), {}, lambda: user)
