"""The kit of the services and the old API answer the same to the same request, good or bad.

Only what conventions decide is compared: status, error code, details, and the headers below. The
router may send any two requests of one client to different sides.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pprint import pformat
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from pydantic import SecretStr

from monolith.app import build_app
from monolith.settings import Settings as MonolithSettings
from shared.auth.tokens import TokenIssuer
from shared.ratelimit.buckets import PRODUCTION_LIMITS, parse_rate_limits
from shared.settings import AppSettings
from tests.support.platform_database import platform_database
from tests.support.sample_service import ORIGIN, SECRET, client_of, running, sample_app, user_row

#: Headers that the conventions fix; of those in PRESENT only whether they are there.
COMPARED = (
    "content-type", "allow", "location", "cache-control", "vary", "www-authenticate", "retry-after",
    "x-content-type-options", "access-control-allow-origin", "access-control-allow-credentials",
    "access-control-allow-methods", "access-control-allow-headers", "access-control-max-age",
    "access-control-expose-headers", "idempotency-replayed", "server", "x-ratelimit-limit",
)  # fmt: skip
PRESENT = ("x-request-id", "x-ratelimit-remaining", "x-ratelimit-reset")
LISTED = frozenset({"allow", "vary", "access-control-expose-headers", "access-control-allow-methods",
                    "access-control-allow-headers"})  # fmt: skip
JSON = {"Content-Type": "application/json"}
NOBODY = "44444444-4444-4444-8444-444444444444"


@dataclass(frozen=True)
class Ask:
    """One request; `as_user` adds the token of the account both sides know."""

    method: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    as_user: bool = False
    compare_body: bool = True

    def __str__(self) -> str:
        extra = " ".join(f"{name}:{value[:30]}" for name, value in self.headers.items())
        return f"{self.method} {self.path[:60]} {extra} {self.body[:20]!r}"


def _user(method: str, path: str, body: bytes = b"", **headers: str) -> Ask:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return Ask(method, path, given, body, as_user=True)


TALK, ME, UPLOAD = "/api/chat/talk_with", "/api/auth/users/me", "/api/images/upload"
PREFLIGHT = {"Access-Control-Request-Method": "POST"}

ASKS = (
    # paths and methods
    Ask("GET", "/api/nothing"),
    Ask("GET", "/"),
    Ask("GET", "/api"),
    Ask("GET", "/docs"),
    Ask("GET", "/API/search?q=a"),
    Ask("GET", "/api//search?q=a"),
    Ask("GET", "//evil.example/"),
    Ask("GET", "/api/search/?q=a%20b"),
    Ask("HEAD", "/api/search/?q=a"),
    Ask("POST", "/api/chat/talk_with/"),
    Ask("GET", "/api/search%2F"),
    Ask("POST", "/api/search"),
    Ask("GET", TALK),
    Ask("HEAD", TALK),
    Ask("PATCH", f"/api/images/{NOBODY}"),
    Ask("OPTIONS", "/api/search"),
    Ask("OPTIONS", TALK),
    Ask("OPTIONS", "/api/nothing"),
    Ask("GET", f"/api/image/{NOBODY}"),
    # cross-origin
    Ask("OPTIONS", TALK, {"Origin": ORIGIN, **PREFLIGHT}),
    Ask("OPTIONS", TALK, {"Origin": "https://evil.example", **PREFLIGHT}),
    Ask("OPTIONS", "/api/nothing", {"Origin": ORIGIN, **PREFLIGHT}),
    Ask("GET", "/api/nothing", {"Origin": ORIGIN}),
    Ask("GET", ME, {"Origin": ORIGIN}),
    Ask("GET", ME, {"Origin": "https://evil.example"}),
    # tokens
    Ask("GET", ME),
    Ask("GET", ME, {"Authorization": "Basic eDp5"}),
    Ask("GET", ME, {"Authorization": "Bearer"}),
    Ask("GET", ME, {"Authorization": "Bearer nonsense"}),
    Ask("GET", ME, {"Authorization": "bearer nonsense"}),
    Ask("GET", "/api/analytics/platform?from=2025-01-01&to=2025-01-02"),
    _user("GET", "/api/analytics/platform"),
    Ask("POST", TALK, JSON, b"{"),
    Ask("GET", "/api/images/no-uuid"),
    # bodies
    _user("POST", TALK, b"{", Content_Type="application/json"),
    _user("POST", TALK, b"[]", Content_Type="application/json"),
    _user("POST", TALK, b"NaN", Content_Type="application/json"),
    _user("POST", TALK, b'{"message": NaN}', Content_Type="application/json"),
    _user("POST", TALK, b'{"message": "\xff"}', Content_Type="application/json"),
    _user("POST", TALK, b'{"message": "a\\u0000b", "character": "x"}', Content_Type="application/json"),
    _user("POST", TALK, b'{"message": "  "}', Content_Type="application/json"),
    _user("POST", TALK, b"message=a", Content_Type="application/x-www-form-urlencoded"),
    _user("POST", TALK, b"x", Content_Type="text/plain"),
    _user("POST", TALK, b'{"message": "a"}'),
    _user("POST", TALK, b'{"message": "' + b"a" * 270_000 + b'"}', Content_Type="application/json"),
    _user("POST", UPLOAD, b"{}", Content_Type="application/json"),
    _user("POST", UPLOAD, b"--x\r\nnonsense", Content_Type="multipart/form-data; boundary=y"),
    _user("POST", UPLOAD, b"--x--\r\n", Content_Type="multipart/form-data; boundary=x"),
    # ids, queries, cursors
    _user("GET", "/api/images/no-uuid"),
    _user("GET", f"/api/images/{NOBODY.replace('-', '')}"),
    Ask("GET", "/api/resources/movies/no-uuid"),
    Ask("GET", f"/api/resources/movies/{NOBODY.replace('-', '')}"),
    Ask("GET", "/api/search"),
    Ask("GET", "/api/search?q="),
    Ask("GET", "/api/search?q=a&limit=0"),
    Ask("GET", "/api/search?q=a&limit=101"),
    Ask("GET", "/api/search?q=a&limit=x"),
    Ask("GET", "/api/search?q=a&cursor=zz"),
    Ask("GET", "/api/search?q=a&cursor=%ff"),
    # idempotency keys
    _user("POST", TALK, b'{"message": "a", "character": "b"}', Content_Type="application/json",
          Idempotency_Key="a b"),
    # webhooks are not limited and never redirect
    Ask("POST", "/api/payments/webhook/", {}, b"{}"),
)  # fmt: skip


@pytest.fixture(scope="module")
def dsn(postgres_url: str) -> Iterator[str]:
    with asyncio.Runner() as runner:
        database = platform_database(postgres_url)
        yield runner.run(database.__aenter__())
        runner.run(database.__aexit__(None, None, None))


@dataclass
class Sides:
    service: httpx.AsyncClient
    monolith: httpx.AsyncClient
    token: str


@pytest.fixture
async def sides(dsn: str, redis_url: str, rabbitmq_url: str) -> AsyncIterator[Sides]:
    user_id = await _account(dsn)
    service = sample_app(
        AppSettings(
            shared_database_url=SecretStr(dsn),
            redis_url=SecretStr(redis_url),
            rabbitmq_url=SecretStr(rabbitmq_url),
            jwt_secrets=(SecretStr(SECRET),),
            allowed_origins=(ORIGIN,),
            rate_limits=parse_rate_limits("default=900,generate=800,public=700,sensitive=600"),
        )
    )
    monolith = build_app(
        MonolithSettings(
            database_url=dsn,
            redis_url=redis_url,
            jwt_secrets=(SECRET,),
            allowed_origins=(ORIGIN,),
            rate_limits=dict(zip(PRODUCTION_LIMITS, (900, 800, 700, 600), strict=True)),
        )
    )
    async with (
        running(service),
        running(monolith),
        client_of(service) as one,
        client_of(monolith) as other,
    ):
        yield Sides(one, other, TokenIssuer(SECRET, "x").access_token(user_id, email=None))


async def _account(dsn: str) -> UUID:
    user_id = uuid4()
    connection = await asyncpg.connect(dsn)
    await connection.execute(
        "INSERT INTO users (id, email, referral_code, confirmed) VALUES ($1, $2, $3, true)",
        *user_row(user_id),
    )
    await connection.execute("INSERT INTO user_profiles (user_id) VALUES ($1)", user_id)
    await connection.close()
    return user_id


async def _answer(client: httpx.AsyncClient, ask: Ask, token: str) -> dict[str, Any]:
    headers = {"X-Real-IP": "203.0.113.77", **ask.headers}
    if ask.as_user:
        headers["Authorization"] = f"Bearer {token}"
    url = httpx.URL("http://x").copy_with(raw_path=ask.path.encode())
    request = client.build_request(ask.method, url, headers=headers, content=ask.body)
    answer = await client.send(request)
    found: dict[str, Any] = {"status": answer.status_code}
    for name in COMPARED:
        value = answer.headers.get(name)
        if value is not None:
            found[name] = sorted(value.replace(" ", "").split(",")) if name in LISTED else value
    found |= {name: name in answer.headers for name in PRESENT}
    if answer.status_code >= 400 and ask.method != "HEAD":
        error = answer.json()["error"]
        details = error["details"]
        if "fields" in details:
            details = {"fields": [entry["path"] for entry in details["fields"]]}
        found |= {"code": error["code"], "details": details}
        found["shape"] = (sorted(answer.json()), sorted(error))
    return found


async def test_conventions_are_the_same_on_both_sides(sides: Sides) -> None:
    differences = {}
    for ask in ASKS:
        ours = await _answer(sides.service, ask, sides.token)
        theirs = await _answer(sides.monolith, ask, sides.token)
        if ours != theirs:
            differences[str(ask)] = {
                name: (ours.get(name), theirs.get(name))
                for name in {*ours, *theirs}
                if ours.get(name) != theirs.get(name)
            }
    assert not differences, pformat(differences)
