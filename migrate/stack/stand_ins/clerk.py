"""Stand-in of Clerk: key set, session tokens, the users of the Backend API, and svix deliveries.

`POST /_sign_in` does what a person does in the browser. An `actor` makes it an impersonation.
"""

from __future__ import annotations

import secrets
import time
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from jose import jwk, jwt
from pydantic import BaseModel

from migrate.stack.stand_ins.deliveries import WebhookPost
from shared.webhooks.senders import Outgoing, standard_delivery

Json = dict[str, Any]
#: Life of a session token, in seconds.
TOKEN_SECONDS = 60
SKEW_SECONDS = 10  # Clerk's nbf lies this far back


class NewUser(BaseModel):
    """Body of `POST /v1/users`; fields that are not listed are taken and do nothing."""

    email_address: list[str]
    first_name: str | None = None
    last_name: str | None = None


class SignIn(BaseModel):
    """Body of `POST /_sign_in`; `azp` is the origin of the page."""

    user_id: str
    azp: str | None = "http://localhost:3000"
    actor: str | None = None


class ClerkPeople:
    """Users by id. The signing key lives as long as the process."""

    def __init__(self, url: str, post: WebhookPost) -> None:
        """`url` is CLERK_ISSUER of the apps."""
        self.issuer = url
        self._post = post
        self._private = (
            rsa.generate_private_key(65537, 2048)
            .private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            .decode()
        )
        public = jwk.construct(self._private, "RS256").public_key().to_dict()
        self._public: Json = {
            name: value.decode() if isinstance(value, bytes) else value
            for name, value in public.items()
        } | {"kid": f"ins_{secrets.token_hex(6)}", "use": "sig"}
        self.reset()

    def reset(self) -> None:
        self._users: dict[str, Json] = {}

    def key_set(self) -> Json:
        return {"keys": [self._public]}

    def create(self, wanted: NewUser) -> Json:
        addresses = [
            {"id": f"idn_{secrets.token_hex(8)}", "email_address": address}
            for address in wanted.email_address
        ]
        now = int(time.time() * 1000)
        user: Json = {
            "id": f"user_{secrets.token_hex(12)}",
            "object": "user",
            "email_addresses": addresses,
            "primary_email_address_id": addresses[0]["id"] if addresses else None,
            "first_name": wanted.first_name,
            "last_name": wanted.last_name,
            "created_at": now,
            "updated_at": now,
        }
        self._users[user["id"]] = user
        self._tell("user.created", user)
        return user

    def user(self, user_id: str) -> Json | None:
        return self._users.get(user_id)

    def rename(self, user: Json, changes: Json) -> Json:
        user |= {name: changes[name] for name in ("first_name", "last_name") if name in changes}
        user["updated_at"] = int(time.time() * 1000)
        self._tell("user.updated", user)
        return user

    def delete(self, user: Json) -> Json:
        del self._users[user["id"]]
        gone = {"id": user["id"], "object": "user", "deleted": True}
        self._tell("user.deleted", gone)
        return gone

    def sign_in(self, wanted: SignIn) -> str:
        """A session token of version 2."""
        now, session_id = int(time.time()), f"sess_{secrets.token_hex(12)}"
        claims: Json = {
            "iss": self.issuer,
            "sub": wanted.user_id,
            "sid": session_id,
            "sts": "active",
            "iat": now,
            "nbf": now - SKEW_SECONDS,
            "exp": now + TOKEN_SECONDS,
            "v": 2,
        }
        if wanted.azp is not None:
            claims["azp"] = wanted.azp
        if wanted.actor is not None:
            claims["act"] = {"sub": wanted.actor}
        about = {"id": session_id, "object": "session", "user_id": wanted.user_id}
        self._tell("session.created", about | {"status": "active"})
        headers = {"kid": self._public["kid"]}
        return jwt.encode(claims, self._private, algorithm="RS256", headers=headers)

    def _tell(self, kind: str, data: Json) -> None:
        message_id = f"msg_{secrets.token_hex(12)}"
        payload = {"type": kind, "object": "event", "data": dict(data)} | {
            "timestamp": int(time.time() * 1000)
        }

        def sign(secret: str, now: int) -> Outgoing:
            return standard_delivery(message_id, payload, secret, now, prefix="svix")

        self._post.send("clerk", message_id, sign)


def clerk_app(people: ClerkPeople) -> FastAPI:
    """Frontend API's key set and the Backend API under `/v1`."""
    app = FastAPI(title="Stand-in of Clerk", openapi_url=None)

    @app.get("/.well-known/jwks.json")
    @app.get("/v1/jwks")
    async def key_set() -> Json:
        return people.key_set()

    @app.post("/_sign_in")
    async def sign_in(wanted: SignIn) -> Json:
        return {"jwt": people.sign_in(wanted)}

    @app.post("/v1/users")
    async def create(request: Request, wanted: NewUser) -> Response:
        return _refusal(request) or JSONResponse(people.create(wanted))

    @app.api_route("/v1/users/{user_id}", methods=["GET", "PATCH", "DELETE"])
    async def one(request: Request, user_id: str) -> Response:
        if (refused := _refusal(request)) is not None:
            return refused
        user = people.user(user_id)
        if user is None:
            error = {"code": "resource_not_found", "message": "not found"}
            return JSONResponse({"errors": [error]}, 404)
        if request.method == "DELETE":
            return JSONResponse(people.delete(user))
        if request.method == "PATCH":
            return JSONResponse(people.rename(user, await request.json()))
        return JSONResponse(user)

    return app


def _refusal(request: Request) -> Response | None:
    if request.headers.get("authorization", "").startswith("Bearer sk_"):
        return None
    error = {"code": "authentication_invalid", "message": "Invalid authentication"}
    return JSONResponse({"errors": [error]}, 401)
