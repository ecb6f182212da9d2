"""One-time codes and sign-in by other providers, as Supabase Auth does them; knows no HTTP.

Codes go out by mail. A person who comes from a provider is linked by the verified address.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from urllib.parse import urlencode

from migrate.stack.stand_ins.openid import OpenIdProviders
from migrate.stack.stand_ins.outbox import MailOutbox
from migrate.stack.stand_ins.supabase_users import AuthCallError, Json, SupabaseUsers

PROVIDERS = frozenset({"google", "apple", "facebook"})
SENDER = "auth@stand-in.example"


@dataclass(frozen=True, slots=True)
class _Flow:
    """One sign-in by a provider that is under way; `challenge` as RFC 7636 has it."""

    provider: str
    redirect_to: str
    challenge: str
    method: str


class SupabaseCodes:
    """What waits for a second step: codes by address, flows by state, finished ones by code."""

    def __init__(self, users: SupabaseUsers, outbox: MailOutbox, openid: OpenIdProviders) -> None:
        self._users = users
        self._outbox = outbox
        self._openid = openid
        self.reset()

    def reset(self) -> None:
        self._codes: dict[str, str] = {}
        self._flows: dict[str, _Flow] = {}
        self._finished: dict[str, tuple[_Flow, Json]] = {}

    def send(self, email: str, *, create: bool, metadata: Json) -> None:
        """Mail a code to a person, who is made on the way if that is wanted."""
        if self._users.by_email(email) is None:
            if not create:
                raise AuthCallError(422, "otp_disabled", "Signups not allowed for otp")
            self._users.add(email, metadata=metadata, is_confirmed=False)
        self._mail(email)

    def send_to_known(self, email: str) -> None:
        """Mail a code if the person exists; nobody learns whether."""
        if self._users.by_email(email) is not None:
            self._mail(email)

    def verify(self, email: str, code: str) -> Json:
        """The person who has read the mail, confirmed now; raises AuthCallError."""
        known = self._codes.get(email.strip().lower(), "")
        user = self._users.by_email(email)
        if user is None or not known or not hmac.compare_digest(known, code):
            raise AuthCallError(403, "otp_expired", "Token has expired or is invalid")
        del self._codes[email.strip().lower()]
        return self._users.confirm(user)

    def by_id_token(self, provider: str, id_token: str, nonce: str | None) -> Json:
        """The person an id token speaks of; raises AuthCallError.

        The token holds the SHA-256 of the nonce, or the nonce itself, as clients do either.
        """
        claims = self._openid.claims(provider, id_token) if provider in PROVIDERS else None
        if claims is None:
            raise AuthCallError(400, "bad_id_token", "Bad ID token")
        hashed = hashlib.sha256((nonce or "").encode()).hexdigest()
        if "nonce" in claims and claims["nonce"] not in (nonce, hashed):
            raise AuthCallError(400, "nonce_mismatch", "Nonces mismatch")
        return self._person(provider, claims)

    def start(self, query: Mapping[str, str], callback: str) -> str:
        """Where the browser goes to sign in with a provider; raises AuthCallError."""
        provider = query.get("provider", "")
        if provider not in PROVIDERS:
            raise AuthCallError(400, "validation_failed", "Unsupported provider")
        state = secrets.token_urlsafe(16)
        self._flows[state] = _Flow(
            provider,
            query.get("redirect_to", ""),
            query.get("code_challenge", ""),
            query.get("code_challenge_method", "plain").lower(),
        )
        wanted = {"redirect_uri": callback, "state": state, "client_id": "supabase"}
        if query.get("login_hint"):
            wanted["login_hint"] = query["login_hint"]
        return f"{self._openid.issuer(provider)}/authorize?{urlencode(wanted)}"

    def finish(self, state: str, code: str) -> str:
        """Where the browser goes with a code that the client can exchange; raises AuthCallError."""
        flow, person = self._flows.pop(state, None), self._openid.take_code(code)
        if flow is None or person is None:
            raise AuthCallError(400, "bad_oauth_state", "OAuth state not found or expired")
        claims = person.model_dump() | {
            "sub": hashlib.sha256(f"{flow.provider}:{person.email}".encode()).hexdigest()[:21]
        }
        mine = secrets.token_urlsafe(16)
        self._finished[mine] = (flow, self._person(flow.provider, claims))
        return f"{flow.redirect_to}{'&' if '?' in flow.redirect_to else '?'}code={mine}"

    def exchange(self, code: str, verifier: str) -> Json:
        """The person of a finished flow, for the client that began it; raises AuthCallError."""
        flow, user = self._finished.pop(code, (None, {}))
        if flow is None:
            raise AuthCallError(404, "flow_state_not_found", "invalid flow state, no valid state")
        digest = hashlib.sha256(verifier.encode()).digest()
        hashed = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if flow.challenge not in (hashed if flow.method == "s256" else verifier,):
            message = "code challenge does not match previously saved code verifier"
            raise AuthCallError(400, "bad_code_verifier", message)
        return user

    def _mail(self, email: str) -> None:
        old = self._codes.get(email.strip().lower())
        code = f"{secrets.randbelow(10**6):06d}"
        if code == old:  # the old code dies with the new one
            code = f"{(int(code) + 1) % 10**6:06d}"
        self._codes[email.strip().lower()] = code
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = SENDER, email, "Your code"
        message.set_content(f"Your code is {code}\n")
        self._outbox.put(message, "supabase", SENDER, [email])

    def _person(self, provider: str, claims: Json) -> Json:
        email = str(claims.get("email") or "").lower()
        if not email:
            raise AuthCallError(400, "validation_failed", "Error getting user email")
        user = self._users.by_email(email) or self._users.add(
            email,
            metadata={"name": claims.get("name"), "email_verified": claims.get("email_verified")},
            is_confirmed=bool(claims.get("email_verified")),
            provider=provider,
        )
        return self._users.link(user, provider, str(claims["sub"]), claims)
