"""Accounts, sessions, profiles, referrals; owns users, user_profiles and their neighbours."""

from __future__ import annotations

from collections.abc import Sequence

from monolith.auth import me, oauth, referral_routes, sign_in, webhooks
from monolith.auth.clerk_effects import apply_clerk
from monolith.auth.handlers import HANDLERS
from monolith.auth.identity_provider import IdentityDesk
from monolith.auth.mail import MailRoom
from monolith.auth.passwords import Passwords
from monolith.auth.router import router
from monolith.auth.supabase_effects import apply_supabase
from monolith.context import Part
from monolith.domain import Domain
from monolith.settings import Settings

__all__ = ["DOMAIN", "me", "oauth", "referral_routes", "sign_in", "webhooks"]


def parts(settings: Settings) -> Sequence[Part]:
    return (Passwords(), MailRoom(settings), IdentityDesk(settings))


DOMAIN = Domain(
    "auth",
    router,
    parts,
    HANDLERS,
    webhooks={"supabase": apply_supabase, "clerk": apply_clerk},
)
