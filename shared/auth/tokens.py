"""Issues the product's own tokens (contract, 2.1); knows no account."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from jose import jwt

from shared.auth.claims import AUDIENCE
from shared.auth.keys import hmac_key

ACCESS_SECONDS = 3600  # contract: Session.expires_in
SERVICE_SECONDS = 300


class TokenIssuer:
    """Signs HS256 tokens with the first of the configured secrets.

    >>> token = TokenIssuer(secret, "https://api.example").access_token(user_id, email="a@b.c")
    """

    def __init__(self, secret: str, issuer: str, *, clock: Callable[[], float] = time.time) -> None:
        self._key = hmac_key(secret).key
        self._issuer = issuer
        self._clock = clock

    def access_token(
        self,
        user_id: UUID,
        *,
        email: str | None,
        session_id: UUID | None = None,
        tier: int = 0,
        provider: str = "email",
        name: str | None = None,
        lifetime_seconds: int = ACCESS_SECONDS,
    ) -> str:
        """A user token. `tier` is a display hint for clients; apps never read it from there."""
        now = int(self._clock())
        return self.sign(
            {
                "iss": self._issuer,
                "sub": str(user_id),
                "aud": AUDIENCE,
                "role": "authenticated",
                "email": email,
                "session_id": str(session_id) if session_id else None,
                "iat": now,
                "exp": now + lifetime_seconds,
                "app_metadata": {"tier": tier, "provider": provider},
                "user_metadata": {"name": name},
            }
        )

    def service_token(self, lifetime_seconds: int = SERVICE_SECONDS) -> str:
        """A token for calls between apps: no user, no audience."""
        now = int(self._clock())
        return self.sign(
            {
                "iss": self._issuer,
                "role": "service_role",
                "iat": now,
                "exp": now + lifetime_seconds,
            }
        )

    def sign(self, claims: Mapping[str, Any]) -> str:
        """Any claims, signed."""
        token: str = jwt.encode(dict(claims), self._key, algorithm="HS256")
        return token
