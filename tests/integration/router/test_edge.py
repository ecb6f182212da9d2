"""Edge policies, overrides, modes and sticky webhooks: what the router checks before an app is asked."""

from __future__ import annotations

import json
import time
import uuid

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from jose import jwt
from redis.asyncio import Redis

from router.edge.build import TokenIssuers, build_gate
from shared.redis_connection import open_redis
from shared.routing.override import sign_override
from shared.routing.policy import RateLimit, RoutePolicy
from shared.routing.routes import RouteSpec
from tests.integration.router.harness import Answer, Rig

SECRET = "s" * 32
IDENTITY = "i" * 32
SUB = str(uuid.uuid4())
CLERK_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
ISSUERS = TokenIssuers(
    jwt_secrets=(SECRET,),
    supabase_url="https://project.supabase.co",
    supabase_jwt_secrets=("h" * 32,),
    clerk_issuer="https://clerk.example.com",
    clerk_jwt_key=CLERK_KEY.public_key()
    .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    .decode(),
    clerk_authorized_parties=("https://app.example.com",),
)


def route(**policy: object) -> tuple[RouteSpec, ...]:
    return (
        RouteSpec("a.one", "content", "GET", "/one", policy=RoutePolicy(**policy)),  # type: ignore[arg-type]
    )


async def guarded(rig, redis: Redis | None = None, **policy: object) -> Rig:
    routes = route(**policy)
    gate = build_gate(routes, redis, ISSUERS, (IDENTITY,))
    found: Rig = await rig(routes=routes, edge=gate)
    return found


def token(**claims: object) -> str:
    base = {"sub": SUB, "aud": "authenticated", "role": "authenticated", "exp": time.time() + 60}
    merged = {name: value for name, value in (base | claims).items() if value is not None}
    return str(jwt.encode(merged, SECRET))


async def ask(router: Rig, *lines: str, method: str = "GET") -> Answer:
    head = "\r\n".join((f"{method} /one HTTP/1.1", "Host: a", *lines))
    return await router.ask(head.encode() + b"\r\n\r\n")


def code(answer: Answer) -> str:
    return str(json.loads(answer.body)["error"]["code"])


async def test_a_token_is_checked_at_the_edge_and_both_sides_get_a_signed_identity(rig) -> None:
    router = await guarded(rig, auth="user", identity_headers=True)
    bearer = f"Authorization: Bearer {token(session_id='s1')}"
    for percent, app in ((0, router.monolith), (100, router.content), (100, router.content)):
        router.flags(percent=percent)
        assert (await ask(router, bearer, "X-Edge-Identity: forged")).status == 200
        (identity,) = app.requests[-1].values("x-edge-identity")
        claims = jwt.decode(identity, IDENTITY, algorithms=["HS256"], audience="strangler-edge")
        assert (claims["sub"], claims["role"], claims["session_id"]) == (SUB, "authenticated", "s1")


@pytest.mark.parametrize(
    ("claims", "status", "expected"),
    [
        (None, 401, "AUTH_REQUIRED"),
        ({"exp": 1}, 401, "TOKEN_EXPIRED"),
        ({"aud": "other"}, 401, "TOKEN_INVALID"),
        ({"role": "service_role", "sub": None, "aud": None}, 403, "FORBIDDEN"),
    ],
)
async def test_a_bad_token_reaches_no_app(
    rig, claims: dict[str, object] | None, status: int, expected: str
) -> None:
    router = await guarded(rig, auth="user")
    line = "X: y" if claims is None else f"Authorization: Bearer {token(**claims)}"
    answer = await ask(router, line)
    assert (answer.status, code(answer)) == (status, expected)
    assert (answer.values("www-authenticate") == ["Bearer"]) is (status == 401)
    assert not router.monolith.requests


def clerk_token(party: str) -> str:
    now = int(time.time())
    claims = {
        "sub": "user_2x", "iss": ISSUERS.clerk_issuer, "azp": party, "sid": "sess_1",
        "iat": now, "nbf": now, "exp": now + 60,
    }  # fmt: skip
    key = CLERK_KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return str(jwt.encode(claims, key.decode(), algorithm="RS256"))


async def test_tokens_of_every_configured_issuer_pass_the_edge_and_of_nobody_else(rig) -> None:
    router = await guarded(rig, auth="user", identity_headers=True)
    supabase = {"iss": f"{ISSUERS.supabase_url}/auth/v1", "aud": "authenticated", "sub": SUB}
    supabase |= {"role": "authenticated", "iat": int(time.time()), "exp": time.time() + 60}
    for good, kind in (
        (token(), "local"),
        (str(jwt.encode(supabase, "h" * 32)), "supabase"),
        (clerk_token("https://app.example.com"), "clerk"),
    ):
        assert (await ask(router, f"Authorization: Bearer {good}")).status == 200
        (identity,) = router.monolith.requests[-1].values("x-edge-identity")
        claims = jwt.decode(identity, IDENTITY, algorithms=["HS256"], audience="strangler-edge")
        assert claims["issuer"] == kind
    seen = len(router.monolith.requests)
    foreign = supabase | {"iss": "https://other.supabase.co/auth/v1"}
    for bad in (
        str(jwt.encode(supabase, "x" * 32)),
        str(jwt.encode(foreign, "h" * 32)),
        clerk_token("https://evil.example.com"),
    ):
        assert (await ask(router, f"Authorization: Bearer {bad}")).status == 401
    assert len(router.monolith.requests) == seen


async def test_a_preflight_needs_no_token(rig) -> None:
    router = await guarded(rig, auth="user", rate_limit=RateLimit(bucket="x", requests=1))
    for _ in range(3):
        answer = await ask(router, "Access-Control-Request-Method: GET", method="OPTIONS")
        assert answer.status == 200


async def test_a_rate_limit_counts_in_redis_and_shows_the_contracts_headers(
    rig, redis_url: str
) -> None:
    redis = open_redis(redis_url)
    bucket = f"test_{uuid.uuid4().hex[:12]}"
    try:
        router = await guarded(
            rig, redis, auth="user", rate_limit=RateLimit(bucket=bucket, requests=2)
        )
        bearer = f"Authorization: Bearer {token()}"
        answers = [await ask(router, bearer) for _ in range(3)]
        if answers[0].values("x-ratelimit-reset") != answers[2].values("x-ratelimit-reset"):
            answers = [await ask(router, bearer) for _ in range(3)]  # a minute ended in between
        assert [answer.status for answer in answers] == [200, 200, 429]
        assert [answer.values("x-ratelimit-remaining") for answer in answers] == [
            ["1"],
            ["0"],
            ["0"],
        ]
        assert answers[0].values("x-ratelimit-limit") == ["2"]
        assert code(answers[2]) == "RATE_LIMITED"
        retry = json.loads(answers[2].body)["error"]["details"]["retry_after"]
        assert answers[2].values("retry-after") == [str(retry)]
        other = f"Authorization: Bearer {token(sub=str(uuid.uuid4()))}"
        assert (await ask(router, other)).status == 200
        keys = [key async for key in redis.scan_iter(f"rl:{bucket}:*")]
        assert len(keys) == 2
        await redis.delete(*keys)
    finally:
        await redis.aclose()


async def test_without_redis_nothing_is_limited(rig) -> None:
    redis = open_redis("redis://127.0.0.1:1/0")
    router = await guarded(rig, redis, rate_limit=RateLimit(bucket="x", requests=1, by="address"))
    for _ in range(3):
        answer = await ask(router)
        assert answer.status == 200
        assert not answer.values("x-ratelimit-limit")
    await redis.aclose()


async def test_addresses_and_methods_can_be_limited(rig) -> None:
    inside = await guarded(rig, allowed_networks=("127.0.0.0/8",), allowed_methods=("GET",))
    assert (await ask(inside)).status == 200
    wrong = await ask(inside, method="POST")
    assert (wrong.status, wrong.values("allow")) == (405, ["GET"])
    outside = await guarded(rig, allowed_networks=("10.0.0.0/8",))
    refused = await ask(outside, "X-Forwarded-For: 10.1.1.1")
    assert (refused.status, code(refused)) == (403, "FORBIDDEN")


async def test_security_headers_are_added_where_the_app_has_none(rig) -> None:
    router = await guarded(rig, security_headers=True)
    answer = await ask(router)
    assert answer.values("x-frame-options") == ["DENY"]
    assert answer.values("x-content-type-options") == ["nosniff"]
    assert not answer.values("strict-transport-security")


@pytest.mark.parametrize(
    "carrier", ["X-Strangler-Override: {}", "Cookie: a=b; strangler_override={}"]
)
async def test_a_signed_override_works_at_0_percent_and_is_not_forwarded(rig, carrier: str) -> None:
    router = await rig(override_secrets=(SECRET,))
    good = sign_override({"content": "service"}, secret=SECRET, expires_at=int(time.time()) + 60)
    forged = sign_override({"content": "service"}, secret="x" * 32, expires_at=2**40)
    for value, side in ((good, b"content"), (forged, b"monolith"), ("junk", b"monolith")):
        line = carrier.format(value).encode()
        answer = await router.ask(b"GET /api/search HTTP/1.1\r\nHost: a\r\n" + line + b"\r\n\r\n")
        assert answer.body == side
    assert not router.content.requests[0].values("x-strangler-override")


async def test_modes_answer_for_the_apps(rig) -> None:
    router = await rig()
    get = b"GET /api/search HTTP/1.1\r\nHost: a\r\n\r\n"
    post = b"POST /api/write HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
    hook = b"POST /api/hook HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}"
    router.flags(mode="read_only")
    refused = await router.ask(post)
    assert (refused.status, code(refused)) == (503, "READ_ONLY")
    assert json.loads(refused.body)["error"]["details"]["scope"] == "content"
    assert refused.values("retry-after")
    assert (await router.ask(get)).status == 200
    router.flags(mode="maintenance")
    assert code(await router.ask(get)) == "MAINTENANCE"
    assert (await router.ask(hook)).status == 200
    assert router.causes() == {"read_only": 1, "maintenance": 1}


async def test_errors_of_the_router_carry_cors_for_listed_origins(rig) -> None:
    router = await rig(has_state=False, allowed_origins=("https://app.example.com",))
    get = b"GET /api/search HTTP/1.1\r\nHost: a\r\nOrigin: %b\r\n\r\n"
    listed = await router.ask(get % b"https://app.example.com")
    assert listed.values("access-control-allow-origin") == ["https://app.example.com"]
    other = await router.ask(get % b"https://evil.example.com")
    assert not other.values("access-control-allow-origin")


async def test_a_webhook_sticks_by_the_id_in_its_body(rig) -> None:
    router = await rig()
    router.flags(percent=50)
    sides: dict[int, set[bytes]] = {}
    for _ in range(2):
        for number in range(12):
            body = json.dumps({"data": {"id": f"evt-{number}"}}).encode()
            head = b"POST /api/hook HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body)
            client = await router.client()
            await client.send(head + body[:5])
            await client.send(body[5:])
            answer = await client.answer()
            client.close()
            sides.setdefault(number, set()).add(answer.body)
    assert all(len(found) == 1 for found in sides.values())
    assert {side for found in sides.values() for side in found} == {b"monolith", b"content"}
    for app in (router.monolith, router.content):
        assert all(request.body.startswith(b'{"data": {"id": "evt-') for request in app.requests)


async def test_a_webhook_too_large_to_read_its_key_is_sent_on_as_it_comes(rig) -> None:
    router = await rig()
    router.flags(percent=50)
    body = json.dumps({"data": {"id": "evt"}, "padding": "x" * 1_500_000}).encode()
    client = await router.client()
    client.writer.write(
        b"POST /api/hook HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    )
    assert (await client.answer()).status == 200
    (request,) = router.monolith.requests + router.content.requests
    assert request.body == body


def test_a_limit_per_user_needs_a_checked_token() -> None:
    with pytest.raises(ValueError, match="by user"):
        RoutePolicy(rate_limit=RateLimit(bucket="x", requests=1, by="user"))
