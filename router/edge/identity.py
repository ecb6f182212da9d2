"""The signed identity that both sides get for a verified token, so that checking can move at any time.

`X-Edge-Identity` is an HS256 token of its own audience that lives for a minute; the router never lets one
in from outside.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections import OrderedDict

from shared.auth.principal import Principal

HEADER = b"X-Edge-Identity"
AUDIENCE = "strangler-edge"
#: Life of an identity, and how long one is handed out again, in seconds.
LIFE_SECONDS = 60
REUSE_SECONDS = 20
#: Identities that are remembered; about 600 bytes each.
_REMEMBERED = 4096


class IdentitySigner:
    """Makes identity lines with the first of the configured secrets."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()
        self._made: OrderedDict[tuple[str, str, str | None, str | None], tuple[int, bytes]] = (
            OrderedDict()
        )

    def line(self, principal: Principal, now: float) -> bytes:
        """The header line with its leading CRLF."""
        key = (principal.issuer, principal.role, principal.subject, principal.session_id)
        found = self._made.get(key)
        if found is not None and now - found[0] < REUSE_SECONDS:
            return found[1]
        made = b"\r\n%b: %b" % (HEADER, self._token(principal, int(now)))
        self._made[key] = (int(now), made)
        self._made.move_to_end(key)
        if len(self._made) > _REMEMBERED:
            self._made.popitem(last=False)
        return made

    def _token(self, principal: Principal, now: int) -> bytes:
        claims = {
            "aud": AUDIENCE,
            "iat": now,
            "exp": now + LIFE_SECONDS,
            "role": principal.role,
            "sub": principal.subject,
            "session_id": principal.session_id,
            "issuer": principal.issuer,
        }
        signed = _part({"alg": "HS256", "typ": "JWT"}) + b"." + _part(claims)
        signature = hmac.new(self._secret, signed, hashlib.sha256).digest()
        return signed + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")


def _part(value: dict[str, object]) -> bytes:
    raw = json.dumps(value, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=")
