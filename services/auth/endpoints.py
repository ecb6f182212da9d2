"""The public routes of accounts (contract, 2.1 and 2.8): parameters in, wire models out."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request
from starlette.responses import Response

from services.auth.owners import ImageOwners
from services.auth.referrals import BONUS
from services.auth.service import AuthService
from services.auth.status import StatusBoard
from shared.auth.dependencies import CurrentUser, current_principal
from shared.auth.principal import Principal
from shared.contract.auth import (
    AccountCreated,
    ApplyReferral,
    CreateAccount,
    Login,
    Logout,
    Oauth,
    OauthProvider,
    OauthSession,
    OtpSent,
    Referral,
    ReferralApplied,
    Refresh,
    Session,
    Synced,
    UpdateDetails,
    User,
    VerifyOtp,
)
from shared.contract.system import Status
from shared.web.context import context_of
from shared.web.endpoints import ServiceRouter
from shared.web.replies import Reply, weak_etag

router = ServiceRouter()


async def auth_service(request: Request) -> AuthService:
    """The service that the app's lifespan has opened; async, for others run in a thread."""
    service: AuthService = request.app.state.auth
    return service


Auth = Annotated[AuthService, Depends(auth_service)]
Bearer = Annotated[Principal, Depends(current_principal)]


@router.endpoint("auth.create_account")
async def create_account(auth: Auth, body: CreateAccount) -> AccountCreated:
    made = await auth.sign_in.create_account(body)
    return AccountCreated(user_id=made.user_id, email=body.email, otp_expires_at=made.expires_at)


@router.endpoint("auth.verify_otp")
async def verify_otp(auth: Auth, body: VerifyOtp) -> Session:
    return await auth.sign_in.verify_code(body.email, body.code)


@router.endpoint("auth.login")
async def login(auth: Auth, body: Login) -> Reply[Session | OtpSent]:
    if body.password is not None:
        return Reply(await auth.sign_in.by_password(body.email, body.password))
    return Reply(OtpSent(otp_expires_at=await auth.sign_in.mail_code(body.email)), status=202)


@router.endpoint("auth.oauth")
async def oauth(auth: Auth, provider: OauthProvider, body: Oauth) -> OauthSession:
    session, created = await auth.oauth(provider, body.id_token, body.nonce)
    return OauthSession(**dict(session), created=created)


@router.endpoint("auth.refresh")
async def refresh(auth: Auth, body: Refresh) -> Session:
    return await auth.refresh(body.refresh_token)


@router.endpoint("auth.logout")
async def logout(auth: Auth, user: CurrentUser, body: Logout | None = None) -> Response:
    await auth.logout(user.id, body.refresh_token if body is not None else None)
    return Response(status_code=204)


@router.endpoint("auth.sync")
async def sync(auth: Auth, principal: Bearer) -> Synced:
    return await auth.sync(principal)


@router.endpoint("auth.me")
async def me(auth: Auth, user: CurrentUser) -> Reply[User]:
    shown = await auth.me(user.id)
    return Reply(shown.user, etag=weak_etag(shown.changed_at))


@router.endpoint("auth.update_details")
async def update_details(
    request: Request, auth: Auth, user: CurrentUser, body: UpdateDetails
) -> User:
    owners: ImageOwners = request.app.state.image_owners
    authorization = request.headers.get("authorization", "")
    request_id = context_of(request.scope).request_id

    async def owns_image(media_id: UUID) -> bool:
        return await owners.owns(media_id, authorization, request_id)

    given = {name: getattr(body, name) for name in body.model_fields_set}
    return await auth.update_details(user.id, _session_id(user.principal), given, owns_image)


@router.endpoint("auth.delete_me")
async def delete_me(auth: Auth, user: CurrentUser) -> Response:
    await auth.delete(user.id)
    return Response(status_code=204)


@router.endpoint("auth.referral")
async def referral(request: Request, auth: Auth, user: CurrentUser) -> Referral:
    counted = await auth.referral(user.id)
    return Referral(
        referral_code=counted.code,
        referral_link=f"https://{request.app.state.link_domain}/r/{counted.code}",
        referred_count=counted.referred,
        confirmed_count=counted.confirmed,
        bonus_earned=BONUS * counted.confirmed,
    )


@router.endpoint("auth.referral_apply")
async def referral_apply(auth: Auth, user: CurrentUser, body: ApplyReferral) -> ReferralApplied:
    await auth.apply_referral(user.id, body.code)
    return ReferralApplied(bonus=BONUS)


@router.endpoint("system.status")
async def status(request: Request) -> Status:
    board: StatusBoard = request.app.state.status_board
    return await board.answer()


def _session_id(principal: Principal) -> UUID | None:
    try:
        return UUID(principal.session_id or "")
    except ValueError:
        return None
