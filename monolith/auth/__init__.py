"""Accounts, sessions, profiles, referrals; owns users, user_profiles and their neighbours."""

from __future__ import annotations

from collections.abc import Sequence

from monolith.auth import me, sign_in
from monolith.auth.mail import MailRoom
from monolith.auth.passwords import Passwords
from monolith.auth.router import router
from monolith.context import Part
from monolith.domain import Domain
from monolith.settings import Settings

__all__ = ["DOMAIN", "me", "sign_in"]


def parts(settings: Settings) -> Sequence[Part]:
    return (Passwords(), MailRoom(settings))


DOMAIN = Domain("auth", router, parts)
