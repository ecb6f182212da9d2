"""Decides who may call a route (contract, 1.4): token, role, account, tier; knows no framework."""

from __future__ import annotations

from dataclasses import replace

import structlog

from shared.auth.accounts import Accounts, Tiers
from shared.auth.principal import Principal, Role
from shared.auth.verifier import TokenVerifier
from shared.contract.routes import PublicRoute
from shared.errors import CallerError, Code, insufficient_tier

log = structlog.get_logger(__name__)

#: The one route that a user without an account may call: it makes the account.
PROVISIONING_ROUTE = "auth.sync"
#: It ends the subscription at the payment provider.
DELETING_ROUTE = "auth.delete_me"
#: Authenticator assurance level 2 (Supabase's claim `aal`).
SECOND_FACTOR = "aal2"


class TokenAdmission:
    """Admission by bearer tokens; built once per app."""

    def __init__(self, verifier: TokenVerifier, accounts: Accounts, tiers: Tiers) -> None:
        self._verifier = verifier
        self._accounts = accounts
        self._tiers = tiers

    async def admit(self, route: PublicRoute, authorization: str | None) -> Principal | None:
        """Who calls a route. None for public ones, where a token means nothing by itself."""
        if route.auth in ("public", "signature"):
            return None
        principal = await self.identify(authorization)
        if route.auth == "service_role":
            return self.require_role(principal, "service_role")
        self.require_role(principal, "authenticated")
        refuse_impersonation(route, principal)
        return await self.require_account(principal, optional=route.name == PROVISIONING_ROUTE)

    async def identify(self, authorization: str | None) -> Principal:
        """The bearer of an Authorization header; 401 without one or with a bad token."""
        token = bearer_token(authorization)
        if token is None:
            raise CallerError(Code.AUTH_REQUIRED, "This needs a token")
        return await self._verifier.verify(token)

    def require_role(self, principal: Principal, role: Role) -> Principal:
        """403 FORBIDDEN for a user on a service's route, and the other way round."""
        if principal.role != role:
            raise CallerError(Code.FORBIDDEN, "This token does not allow that")
        return principal

    def require_assurance(self, principal: Principal) -> Principal:
        """403 FORBIDDEN unless the user proved who they are with a second factor (Supabase `aal2`)."""
        if principal.assurance != SECOND_FACTOR:
            raise CallerError(Code.FORBIDDEN, "This needs a second factor; sign in with it again")
        return principal

    async def require_account(self, principal: Principal, *, optional: bool = False) -> Principal:
        """The principal with our user id; 403 without an account, 401 if it was deleted."""
        account = await self._accounts.find(principal)
        if account is None:
            if optional:
                return principal
            raise CallerError(
                Code.ACCOUNT_NOT_PROVISIONED, "There is no account yet; call POST /api/auth/sync"
            )
        if account.is_deleted:
            raise CallerError(Code.ACCOUNT_DELETED, "This account was deleted")
        if principal.user_id == account.user_id:
            return principal
        return replace(principal, user_id=account.user_id)

    async def require_tier(self, principal: Principal, required: int) -> None:
        """402 INSUFFICIENT_TIER; a cached tier may admit but never refuse.

        An anonymous sign-in (Supabase) has no tier: whoever wants more needs an account first.
        """
        if principal.user_id is None:
            raise CallerError(Code.FORBIDDEN, "This token does not allow that")
        if principal.is_anonymous and required > 0:
            raise insufficient_tier(0, required)
        if await self._tiers.tier(principal.user_id) >= required:
            return
        current = await self._tiers.tier(principal.user_id, fresh=True)
        if current < required:
            raise insufficient_tier(current, required)


def refuse_impersonation(route: PublicRoute, principal: Principal) -> None:
    """403 FORBIDDEN for somebody who acts in a user's name and would change what the user pays.

    Support may look at everything and write for a user (Clerk `act`), but buys and cancels nothing;
    deleting the account would end the subscription. Every such request is logged with both names.
    """
    if principal.impersonator is None:
        return
    pays = (route.service == "payments" and route.kind != "read") or route.name == DELETING_ROUTE
    log.warning(
        "impersonated_request",
        route=route.name,
        subject=principal.subject,
        impersonator=principal.impersonator,
        refused=pays,
    )
    if pays:
        raise CallerError(Code.FORBIDDEN, "A session in somebody else's name does not allow that")


def bearer_token(authorization: str | None) -> str | None:
    """The token of a Bearer header; the scheme is case-insensitive (RFC 9110, 11.1).

    None for no header or another scheme. `Bearer` without a token gives an empty, bad token.
    """
    if authorization is None:
        return None
    scheme, _, token = authorization.strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None
