"""Stand-in of Google's, Apple's and Facebook's sign-in: OpenID Connect with people who agree at once.

`/{provider}/.well-known/openid-configuration`, `/jwks`, `/authorize` and `/token` as OpenID Connect
Core 1.0 has them; `POST /{provider}/id_token` mints a token for a client that signs in natively.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from typing import Any, Literal
from urllib.parse import parse_qs, urlencode

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from jose import JWTError, jwk, jwt
from pydantic import BaseModel

Json = dict[str, Any]
Provider = Literal["google", "apple", "facebook"]

#: Life of an id token, in seconds: Google's.
TOKEN_SECONDS = 3600
#: Life of a code that waits to be exchanged, in seconds.
CODE_SECONDS = 60
DEFAULT_EMAIL = "ann@example.com"


class Person(BaseModel):
    """Body of `POST /{provider}/id_token`: who signs in, into which client."""

    email: str = DEFAULT_EMAIL
    sub: str | None = None
    name: str | None = None
    email_verified: bool = True
    audience: str = "stand-in-client"
    nonce: str | None = None
    expires_in: int = TOKEN_SECONDS


class OpenIdProviders:
    """Keys of the three providers and codes that wait. The key lives as long as the process."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._key = rsa.generate_private_key(65537, 2048)
        self._private = self._key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode()
        self._public: Json = {
            name: value.decode() if isinstance(value, bytes) else value
            for name, value in jwk.construct(self._private, "RS256").public_key().to_dict().items()
        } | {"kid": secrets.token_hex(8), "use": "sig"}
        self.reset()

    def reset(self) -> None:
        self._codes: dict[str, tuple[Person, float]] = {}

    def issuer(self, provider: str) -> str:
        return f"{self._url}/{provider}"

    def key_set(self) -> Json:
        return {"keys": [self._public]}

    def id_token(self, provider: str, person: Person) -> str:
        """A signed id token; the same address has the same subject every time."""
        now = int(time.time())
        subject = person.sub or hashlib.sha256(f"{provider}:{person.email}".encode()).hexdigest()
        claims: Json = {
            "iss": self.issuer(provider),
            "sub": person.sub or str(int(subject[:16], 16)),
            "aud": person.audience,
            "iat": now,
            "exp": now + person.expires_in,
            "email": person.email,
            "email_verified": person.email_verified,
        }
        if person.name is not None:
            claims["name"] = person.name
        if person.nonce is not None:
            claims["nonce"] = person.nonce
        headers = {"kid": self._public["kid"]}
        return jwt.encode(claims, self._private, algorithm="RS256", headers=headers)

    def claims(self, provider: str, id_token: str) -> Json | None:
        """What a token of this provider says, whatever its audience; None if it is not one."""
        try:
            found: Json = jwt.decode(
                id_token,
                self._public,
                algorithms=["RS256"],
                issuer=self.issuer(provider),
                options={"verify_aud": False, "verify_at_hash": False},
            )
        except JWTError:
            return None
        return found

    def give_code(self, person: Person) -> str:
        code = secrets.token_urlsafe(16)
        self._codes[code] = (person, time.monotonic() + CODE_SECONDS)
        return code

    def take_code(self, code: str) -> Person | None:
        """The person behind a code; a code works once and not for long."""
        person, ends = self._codes.pop(code, (None, 0.0))
        return person if time.monotonic() < ends else None


def openid_app(providers: OpenIdProviders) -> FastAPI:
    """The providers' addresses; nobody is asked for a password."""
    app = FastAPI(title="Stand-in of OpenID providers", openapi_url=None)

    @app.get("/{provider}/.well-known/openid-configuration")
    async def configuration(provider: Provider) -> Json:
        issuer = providers.issuer(provider)
        return {
            "issuer": issuer,
            "authorization_endpoint": f"{issuer}/authorize",
            "token_endpoint": f"{issuer}/token",
            "jwks_uri": f"{issuer}/jwks",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }

    @app.get("/{provider}/jwks")
    async def key_set(provider: Provider) -> Json:
        return providers.key_set()

    @app.get("/{provider}/authorize")
    async def authorize(
        provider: Provider,
        redirect_uri: str,
        client_id: str = "stand-in-client",
        state: str = "",
        nonce: str | None = None,
        login_hint: str = DEFAULT_EMAIL,
    ) -> Response:
        person = Person(email=login_hint, audience=client_id, nonce=nonce)
        query = urlencode({"code": providers.give_code(person), "state": state})
        return RedirectResponse(f"{redirect_uri}{'&' if '?' in redirect_uri else '?'}{query}", 302)

    @app.post("/{provider}/token")
    async def token(request: Request, provider: Provider) -> Response:
        form = parse_qs((await request.body()).decode("utf-8", "replace"))
        person = providers.take_code(form.get("code", [""])[0])
        if person is None:
            return JSONResponse({"error": "invalid_grant"}, 400)
        access = base64.urlsafe_b64encode(secrets.token_bytes(24)).decode()
        return JSONResponse(
            {
                "access_token": access,
                "token_type": "Bearer",
                "expires_in": TOKEN_SECONDS,
                "id_token": providers.id_token(provider, person),
            }
        )

    @app.post("/{provider}/id_token")
    async def mint(provider: Provider, person: Person) -> Json:
        return {"id_token": providers.id_token(provider, person)}

    return app
