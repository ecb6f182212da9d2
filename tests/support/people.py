"""People who use the app in tests: accounts, tokens, plans, and signed deliveries about them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import httpx
from jose import jwt

SECRET = "monolith-tests-secret-0123456789abcdef"
STRIPE_SECRET = "whsec_stripe_of_the_tests"
STANDARD_KEY = b"standard-webhooks-key-of-tests"
STANDARD_SECRET = "whsec_" + base64.b64encode(STANDARD_KEY).decode()
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)


def user_claims(user_id: str, **changes: Any) -> dict[str, Any]:
    now = int(time.time())
    claims = {
        "sub": user_id,
        "aud": "authenticated",
        "role": "authenticated",
        "iat": now,
        "exp": now + 600,
    }
    return {**claims, **changes}


def signed(claims: Mapping[str, Any], secret: str = SECRET) -> str:
    return str(jwt.encode(dict(claims), secret, algorithm="HS256"))


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def service_headers() -> dict[str, str]:
    return bearer(signed({"role": "service_role", "exp": int(time.time()) + 600}))


@dataclass
class Person:
    """A signed-in user; requests carry the token."""

    id: str
    email: str
    client: httpx.AsyncClient
    headers: dict[str, str] = field(default_factory=dict)

    async def send(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = {**self.headers, **options.pop("headers", {})}
        return await self.client.request(method, path, headers=headers, **options)

    async def get(self, path: str, **options: Any) -> httpx.Response:
        return await self.send("GET", path, **options)

    async def post(self, path: str, **options: Any) -> httpx.Response:
        return await self.send("POST", path, **options)

    async def put(self, path: str, **options: Any) -> httpx.Response:
        return await self.send("PUT", path, **options)

    async def patch(self, path: str, **options: Any) -> httpx.Response:
        return await self.send("PATCH", path, **options)

    async def delete(self, path: str, **options: Any) -> httpx.Response:
        return await self.send("DELETE", path, **options)

    async def talk(self, message: str = "hi", character: str = "Ana", **more: Any) -> Any:
        answer = await self.post(
            "/api/chat/talk_with", json={"message": message, "character": character, **more}
        )
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def upload(self) -> Any:
        answer = await self.post("/api/images/upload", files={"file": ("a.png", PNG)})
        assert answer.status_code == 201, answer.text
        return answer.json()


class People:
    """Makes accounts straight in the tables: sign-up has tests of its own."""

    def __init__(self, client: httpx.AsyncClient, database: asyncpg.Connection) -> None:
        self.client = client
        self.rows = database

    async def new(
        self, *, tier: int = 0, name: str | None = "Ana", email: str | None = None
    ) -> Person:
        user_id = str(uuid.uuid4())
        address = email or f"{user_id[:8]}@example.com"
        code = base64.b32encode(uuid.uuid4().bytes)[:8].decode()
        await self.rows.execute(
            "INSERT INTO users (id, email, confirmed, referral_code) VALUES ($1, $2, true, $3)",
            user_id,
            address,
            code,
        )
        await self.rows.execute(
            "INSERT INTO user_profiles (user_id, name) VALUES ($1, $2)", user_id, name
        )
        if tier:
            await self.subscribe(user_id, tier)
        return Person(user_id, address, self.client, bearer(signed(user_claims(user_id))))

    async def subscribe(self, user_id: str, tier: int, **columns: Any) -> str:
        values = {
            "user_id": uuid.UUID(user_id),
            "provider": "stripe",
            "provider_subscription_id": f"sub_ref_{uuid.uuid4()}",
            "price_id": {1: "price_pro", 2: "price_max"}[tier],
            "tier": tier,
            "status": "active",
            **columns,
        }
        names = ", ".join(values)
        numbers = ", ".join(f"${at}" for at in range(1, len(values) + 1))
        await self.rows.execute(
            f"INSERT INTO subscriptions ({names}) VALUES ({numbers})", *values.values()
        )
        return str(values["provider_subscription_id"])


def stripe_headers(
    body: bytes, *, secret: str = STRIPE_SECRET, at: int | None = None
) -> dict[str, str]:
    moment = int(time.time()) if at is None else at
    digest = hmac.new(secret.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
    return {"Stripe-Signature": f"t={moment},v1={digest}", "Content-Type": "application/json"}


def standard_headers(
    body: bytes, message_id: str, *, prefix: str = "webhook", at: int | None = None
) -> dict[str, str]:
    moment = int(time.time()) if at is None else at
    text = f"{message_id}.{moment}.".encode() + body
    digest = base64.b64encode(hmac.new(STANDARD_KEY, text, hashlib.sha256).digest()).decode()
    return {
        f"{prefix}-id": message_id,
        f"{prefix}-timestamp": str(moment),
        f"{prefix}-signature": f"v1,{digest}",
        "Content-Type": "application/json",
    }


def as_bytes(payload: Mapping[str, Any]) -> bytes:
    return json.dumps(payload).encode()


def error_code(answer: httpx.Response) -> str:
    """The code, after a look at the shape that every error has."""
    body = answer.json()
    error = body["error"]
    assert set(error) == {"code", "message", "details", "request_id"}
    assert error["request_id"] == answer.headers["x-request-id"]
    if answer.status_code == 402:
        assert body["detail"] == {
            "code": error["code"],
            "message": error["message"],
            **error["details"],
        }
    else:
        assert body["detail"] == error["message"]
    return str(error["code"])
