"""What the stand-in of Supabase Auth remembers: people, sessions and its signing key; knows no HTTP.

People are confirmed at once (`mailer_autoconfirm`) unless `confirms_by_mail` is set: then a new
person has no session until a code of the mail was verified.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
import uuid
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jose import JWTError, jwt

from migrate.stack.stand_ins.deliveries import WebhookPost
from shared.webhooks.senders import Outgoing, standard_delivery

Json = dict[str, Any]

#: Life of an access token, in seconds: Supabase's default.
TOKEN_SECONDS = 3600
#: Shortest password: Supabase's default.
PASSWORD_MIN = 6


class AuthCallError(Exception):
    """A refusal in Supabase's words: status, `error_code` and message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class SupabaseUsers:
    """People by id. The signing key lives as long as the process, also over resets."""

    def __init__(self, url: str, post: WebhookPost) -> None:
        """`url` is SUPABASE_URL of the apps; tokens are issued by `{url}/auth/v1`."""
        self.issuer = f"{url}/auth/v1"
        self._post = post
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._key_id = str(uuid.uuid4())
        self.reset()

    def reset(self) -> None:
        self.confirms_by_mail = False
        self._users: dict[str, Json] = {}
        self._passwords: dict[str, tuple[bytes, bytes]] = {}
        self._sessions: dict[str, str] = {}
        self._refresh: dict[str, tuple[str, bool]] = {}

    def key_set(self) -> Json:
        """The public half of the signing key (RFC 7517)."""
        numbers = self._key.public_key().public_numbers()
        point = {"x": _base64(numbers.x), "y": _base64(numbers.y)}
        about = {"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "key_ops": ["verify"]}
        return {"keys": [about | point | {"kid": self._key_id, "ext": True}]}

    def sign_up(
        self,
        email: str,
        password: str,
        metadata: Json,
        app_metadata: Json,
        *,
        is_confirmed: bool | None = None,
    ) -> Json:
        """A new person with a password; raises AuthCallError."""
        email = email.strip().lower()
        if "@" not in email:
            raise AuthCallError(400, "validation_failed", "Unable to validate email address")
        if len(password) < PASSWORD_MIN:
            message = f"Password should be at least {PASSWORD_MIN} characters."
            raise AuthCallError(422, "weak_password", message)
        if self.by_email(email) is not None:
            raise AuthCallError(422, "user_already_exists", "User already registered")
        user = self.add(
            email,
            metadata=metadata,
            app_metadata=app_metadata,
            is_confirmed=not self.confirms_by_mail if is_confirmed is None else is_confirmed,
        )
        self._passwords[user["id"]] = _hashed(password)
        return user

    def add(
        self,
        email: str,
        *,
        metadata: Json,
        is_confirmed: bool,
        app_metadata: Json | None = None,
        provider: str = "email",
    ) -> Json:
        """A new person without a password."""
        now, user_id = _now(), str(uuid.uuid4())
        confirmed_at = now if is_confirmed else None
        user: Json = {
            "id": user_id,
            "aud": "authenticated",
            "role": "authenticated",
            "email": email.strip().lower(),
            "phone": "",
            "email_confirmed_at": confirmed_at,
            "confirmed_at": confirmed_at,
            "confirmation_sent_at": None if is_confirmed else now,
            "last_sign_in_at": confirmed_at,
            "app_metadata": {"provider": provider, "providers": [provider]} | (app_metadata or {}),
            "user_metadata": metadata,
            "identities": [],
            "created_at": now,
            "updated_at": now,
            "is_anonymous": False,
        }
        self._users[user_id] = user
        self._tell("user.created", user)
        return user

    def confirm(self, user: Json) -> Json:
        """Note that the person owns the address."""
        if user["email_confirmed_at"] is None:
            user["email_confirmed_at"] = user["confirmed_at"] = _now()
            self._tell("user.updated", user)
        user["last_sign_in_at"] = _now()
        return user

    def link(self, user: Json, provider: str, subject: str, claims: Json) -> Json:
        """Tie an identity at a provider to a person, once."""
        known = [one for one in user["identities"] if one["provider"] == provider]
        if not known:
            now = _now()
            user["identities"].append(
                {
                    "id": subject,
                    "identity_id": str(uuid.uuid4()),
                    "user_id": user["id"],
                    "identity_data": {"sub": subject, "email": user["email"]}
                    | {name: claims[name] for name in ("name",) if claims.get(name)},
                    "provider": provider,
                    "created_at": now,
                    "updated_at": now,
                    "last_sign_in_at": now,
                }
            )
            providers = user["app_metadata"]["providers"]
            user["app_metadata"]["providers"] = [*dict.fromkeys([*providers, provider])]
            if claims.get("name") and not user["user_metadata"].get("name"):
                user["user_metadata"]["name"] = claims["name"]
        return self.confirm(user) if claims.get("email_verified") else user

    def sign_in(self, email: str, password: str) -> Json:
        """The person with this password; raises AuthCallError."""
        user = self.by_email(email)
        if user is not None and user["id"] in self._passwords:
            salt, known = self._passwords[user["id"]]
            if hmac.compare_digest(known, _hashed(password, salt)[1]):
                if user["email_confirmed_at"] is None:
                    raise AuthCallError(400, "email_not_confirmed", "Email not confirmed")
                user["last_sign_in_at"] = _now()
                return user
        raise AuthCallError(400, "invalid_credentials", "Invalid login credentials")

    def update(self, user: Json, changes: Json) -> Json:
        """Change address, password or metadata of a person."""
        if changes.get("email"):
            user["email"] = str(changes["email"]).lower()
        if changes.get("password"):
            self._passwords[user["id"]] = _hashed(str(changes["password"]))
        user["user_metadata"] |= changes.get("data") or changes.get("user_metadata") or {}
        user["app_metadata"] |= changes.get("app_metadata") or {}
        user["updated_at"] = _now()
        self._tell("user.updated", user)
        return user

    def delete(self, user_id: str) -> Json:
        """Forget a person and their sessions; raises AuthCallError."""
        user = self.user(user_id)
        del self._users[user_id]
        self._passwords.pop(user_id, None)
        self._sessions = {one: owner for one, owner in self._sessions.items() if owner != user_id}
        self._tell("user.deleted", user)
        return user

    def user(self, user_id: str) -> Json:
        found = self._users.get(user_id)
        if found is None:
            raise AuthCallError(404, "user_not_found", "User not found")
        return found

    def by_email(self, email: str) -> Json | None:
        wanted = email.strip().lower()
        return next((user for user in self._users.values() if user["email"] == wanted), None)

    def listing(self) -> list[Json]:
        return list(self._users.values())

    def session(self, user: Json, session_id: str | None = None) -> Json:
        """A new pair of tokens, in a new session unless one goes on."""
        session_id = session_id or str(uuid.uuid4())
        self._sessions[session_id] = user["id"]
        refresh_token = secrets.token_urlsafe(12)
        self._refresh[refresh_token] = (session_id, False)
        now = int(time.time())
        return {
            "access_token": self._token(user, session_id, now),
            "token_type": "bearer",
            "expires_in": TOKEN_SECONDS,
            "expires_at": now + TOKEN_SECONDS,
            "refresh_token": refresh_token,
            "user": user,
        }

    def refreshed(self, refresh_token: str) -> Json:
        """The next pair; a token works once. Raises AuthCallError."""
        session_id, is_used = self._refresh.get(refresh_token, ("", False))
        user = self._users.get(self._sessions.get(session_id, ""))
        if user is None:
            message = "Invalid Refresh Token: Refresh Token Not Found"
            raise AuthCallError(400, "refresh_token_not_found", message)
        if is_used:
            del self._sessions[session_id]
            message = "Invalid Refresh Token: Already Used"
            raise AuthCallError(400, "refresh_token_already_used", message)
        self._refresh[refresh_token] = (session_id, True)
        return self.session(user, session_id)

    def holder(self, token: str) -> tuple[Json, str]:
        """(person, session id) of an access token; raises AuthCallError."""
        try:
            claims = jwt.decode(
                token,
                self.key_set()["keys"][0],
                algorithms=["ES256"],
                audience="authenticated",
                issuer=self.issuer,
            )
        except JWTError as error:
            raise AuthCallError(403, "bad_jwt", "invalid JWT: unable to parse or verify") from error
        session_id = str(claims["session_id"])
        if self._sessions.get(session_id) != claims["sub"]:
            raise AuthCallError(403, "session_not_found", "Session from session_id does not exist")
        return self.user(claims["sub"]), session_id

    def end_session(self, session_id: str) -> None:
        self._sessions.pop(session_id, None)

    def _token(self, user: Json, session_id: str, now: int) -> str:
        claims = {
            "iss": self.issuer,
            "sub": user["id"],
            "aud": "authenticated",
            "exp": now + TOKEN_SECONDS,
            "iat": now,
            "email": user["email"],
            "phone": user["phone"],
            "app_metadata": user["app_metadata"],
            "user_metadata": user["user_metadata"],
            "role": "authenticated",
            "aal": "aal1",
            "amr": [{"method": "password", "timestamp": now}],
            "session_id": session_id,
            "is_anonymous": False,
        }
        private = self._key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode()
        return jwt.encode(claims, private, algorithm="ES256", headers={"kid": self._key_id})

    def _tell(self, kind: str, user: Json) -> None:
        names = ("id", "email", "user_metadata", "app_metadata")
        payload = {"type": kind, "data": {name: user[name] for name in names}}
        message_id = f"msg_{secrets.token_hex(12)}"

        def sign(secret: str, now: int) -> Outgoing:
            return standard_delivery(message_id, payload, secret, now)

        self._post.send("supabase", message_id, sign)


def _hashed(password: str, salt: bytes | None = None) -> tuple[bytes, bytes]:
    salt = salt or secrets.token_bytes(16)
    return salt, hashlib.scrypt(password.encode(), salt=salt, n=1024, r=8, p=1)


def _base64(number: int) -> str:
    return base64.urlsafe_b64encode(number.to_bytes(32, "big")).rstrip(b"=").decode()


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")
