"""FastAPI dependencies: who calls. They work on contract routes and on any other route of the app.

@router.endpoint("chat.history")
async def history(user: CurrentUser, conversation_id: Id) -> ...: ...

@router.endpoint("community.story_list")
async def stories(viewer: OptionalUser) -> ...: ...      # None: anonymous
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import Depends
from starlette.requests import HTTPConnection

from shared.auth.admission import TokenAdmission
from shared.auth.principal import Principal, Role
from shared.errors import CallerError, Code, PeerError
from shared.web.context import context_of


@dataclass(frozen=True, slots=True)
class User:
    """A user with an account."""

    id: UUID
    principal: Principal


async def current_principal(connection: HTTPConnection) -> Principal:
    """The verified bearer of the token; 401 without one. Says nothing of an account."""
    context = context_of(connection.scope)
    if context.principal is None:
        context.principal = await _admission(connection).identify(
            connection.headers.get("authorization")
        )
    return context.principal


async def current_user(connection: HTTPConnection) -> User:
    """The calling user; 401, or 403 for service tokens and users without an account."""
    principal = await current_principal(connection)
    context = context_of(connection.scope)
    if context.route is not None and context.route.auth in ("user", "tier1"):
        if principal.user_id is None:
            raise CallerError(Code.ACCOUNT_NOT_PROVISIONED, "There is no account yet")
        return User(principal.user_id, principal)  # the gate has looked the account up
    return await _user_of(_admission(connection), principal)


async def optional_user(connection: HTTPConnection) -> User | None:
    """The calling user, or None: a missing, expired or bad token means an anonymous viewer."""
    if connection.headers.get("authorization") is None:
        return None
    try:
        return await current_user(connection)
    except (CallerError, PeerError):
        return None


def requires_tier(tier: int) -> Callable[[HTTPConnection], Awaitable[User]]:
    """A dependency: the calling user, or 402 below the tier.

    >>> @router.endpoint("media.generate")
    ... async def generate(user: Annotated[User, Depends(requires_tier(1))]) -> ...: ...
    """
    if not isinstance(tier, int) or isinstance(tier, bool):
        raise TypeError(
            "requires_tier is no decorator: write Annotated[User, Depends(requires_tier(1))]"
        )

    async def user_of_tier(connection: HTTPConnection) -> User:
        user = await current_user(connection)
        await _admission(connection).require_tier(user.principal, tier)
        return user

    return user_of_tier


def requires_role(role: Role) -> Callable[[HTTPConnection], Awaitable[Principal]]:
    """A dependency: the principal, or 403 for any other role."""
    if role not in ("authenticated", "service_role"):
        raise TypeError("requires_role takes 'authenticated' or 'service_role'")

    async def principal_of_role(connection: HTTPConnection) -> Principal:
        return _admission(connection).require_role(await current_principal(connection), role)

    return principal_of_role


async def requires_aal2(connection: HTTPConnection) -> User:
    """The calling user, or 403 without a second factor."""
    user = await current_user(connection)
    _admission(connection).require_assurance(user.principal)
    return user


service_only = requires_role("service_role")

CurrentUser = Annotated[User, Depends(current_user)]
OptionalUser = Annotated[User | None, Depends(optional_user)]
ServiceCaller = Annotated[Principal, Depends(service_only)]


async def _user_of(admission: TokenAdmission, principal: Principal) -> User:
    admission.require_role(principal, "authenticated")
    found = await admission.require_account(principal)
    if found.user_id is None:
        raise CallerError(Code.ACCOUNT_NOT_PROVISIONED, "There is no account yet")
    return User(found.user_id, found)


def _admission(connection: HTTPConnection) -> TokenAdmission:
    admission: TokenAdmission = connection.app.state.admission
    return admission
