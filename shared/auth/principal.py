"""Who a verified token speaks for; pure data, knows neither tokens nor databases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

Role = Literal["authenticated", "service_role"]


@dataclass(frozen=True, slots=True)
class Principal:
    """The bearer of a verified token.

    `user_id` is our id of the user. It is None for service tokens, and for users of an outside
    issuer (Clerk) until the account was looked up by (`issuer`, `subject`).
    Nothing in `user_metadata` may decide anything: users write it themselves.
    """

    role: Role
    issuer: Literal["local", "supabase", "clerk"]
    subject: str | None
    expires_at: int  # unix seconds
    user_id: UUID | None = None
    email: str | None = None
    session_id: str | None = None
    is_anonymous: bool = False  # a sign-in without an account (Supabase)
    assurance: str | None = None  # aal1 or aal2: how strongly the user proved who they are
    impersonator: str | None = None  # who acts in the user's name (Clerk `act`)
    app_metadata: Mapping[str, Any] = field(default_factory=dict)
    user_metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_user(self) -> bool:
        return self.role == "authenticated"

    @property
    def is_service(self) -> bool:
        return self.role == "service_role"
