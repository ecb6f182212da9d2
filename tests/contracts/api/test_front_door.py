"""What holds for every request: ids, headers, slashes, methods, CORS, maintenance, errors."""

from __future__ import annotations

import uuid

import asyncpg
import httpx
import pytest

from tests.contracts.api.conftest import SetMode
from tests.contracts.api.sides import Side, once
from tests.contracts.api.world import ORIGIN
from tests.support.people import People, error_code

pytestmark = pytest.mark.asyncio(loop_scope="session")


def allowed(answer: httpx.Response) -> set[str]:
    return set(answer.headers["allow"].split(", "))


async def test_a_good_request_id_is_echoed_and_a_bad_one_replaced(
    client: httpx.AsyncClient,
) -> None:
    good = await client.get("/api/nothing", headers={"X-Request-Id": "abc.DEF_1-2"})
    assert good.headers["x-request-id"] == "abc.DEF_1-2"
    assert error_code(good) == "NOT_FOUND"
    for bad in ("a b", "x" * 65, "ü".encode()):
        answer = await client.get("/api/nothing", headers={"X-Request-Id": bad})
        assert uuid.UUID(answer.headers["x-request-id"])


async def test_every_answer_is_nosniff_and_hides_the_server(client: httpx.AsyncClient) -> None:
    for path in ("/health", "/api/search?q=x", "/api/nothing", "/api/auth/users/me"):
        answer = await client.get(path)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "server" not in answer.headers


async def test_a_trailing_slash_is_a_relative_redirect_for_reads_only(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.get("/api/resources/movies/?year=1999&genre=a%20b")
    assert answer.status_code == 307
    assert answer.headers["location"] == "/api/resources/movies?year=1999&genre=a%20b"
    assert (await client.head("/api/search/")).status_code == 307
    assert error_code(await client.post("/api/auth/login/", json={})) == "NOT_FOUND"
    assert error_code(await client.get("/api//search")) == "NOT_FOUND"
    assert error_code(await client.get("/API/search?q=x")) == "NOT_FOUND"
    assert (await client.get("/")).status_code == 404


async def test_a_wrong_method_names_the_right_ones(client: httpx.AsyncClient) -> None:
    answer = await client.put("/api/story/rooms", json={})
    assert (answer.status_code, error_code(answer)) == (405, "METHOD_NOT_ALLOWED")
    assert allowed(answer) == {"GET", "HEAD", "POST", "OPTIONS"}


async def test_head_has_the_headers_of_get_and_no_body(client: httpx.AsyncClient) -> None:
    get = await client.get("/api/resources/movies")
    head = await client.head("/api/resources/movies")
    assert head.status_code == get.status_code == 200
    assert head.content == b""
    for name in ("content-type", "content-length", "cache-control"):
        assert head.headers[name] == get.headers[name]


async def test_plain_options_name_the_methods(client: httpx.AsyncClient) -> None:
    answer = await client.options("/api/auth/login")
    assert (answer.status_code, allowed(answer)) == (204, {"POST", "OPTIONS"})
    assert (await client.options("/api/nothing")).status_code == 404


async def test_a_listed_origin_gets_cors_headers_also_on_errors(client: httpx.AsyncClient) -> None:
    answer = await client.get("/api/nothing", headers={"Origin": ORIGIN})
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert answer.headers["vary"] == "Origin"
    assert "Idempotency-Replayed" in answer.headers["access-control-expose-headers"]


async def test_an_unlisted_origin_gets_the_same_answer_without_cors(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.get("/api/nothing", headers={"Origin": "https://evil.example"})
    assert answer.status_code == 404
    assert not [name for name in answer.headers if name.startswith("access-control-")]


async def test_a_preflight_needs_no_token(client: httpx.AsyncClient) -> None:
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "PUT"}
    answer = await client.options("/api/auth/users/me/details", headers=asked)
    assert answer.status_code == 204
    assert answer.headers["access-control-max-age"] == "600"
    assert "Idempotency-Key" in answer.headers["access-control-allow-headers"]
    assert "PATCH" in answer.headers["access-control-allow-methods"]


async def test_the_old_prefix_of_images_is_an_alias(people: People) -> None:
    ana = await people.new()
    image = await ana.upload()
    same = await ana.get(f"/api/image/{image['id']}")
    assert same.json() == (await ana.get(f"/api/images/{image['id']}")).json()


async def test_full_maintenance_stops_everything_but_health_status_and_webhooks(
    side: Side, maintenance: SetMode
) -> None:
    await maintenance("all", "full", "Back soon")
    async with side.running() as apps:
        client = apps.client
        answer = await once(client, "/api/search?q=x", 503)
        assert (answer.status_code, error_code(answer)) == (503, "MAINTENANCE")
        assert answer.headers["retry-after"] == str(
            answer.json()["error"]["details"]["retry_after"]
        )
        assert answer.json()["error"]["details"]["scope"] == "all"
        assert error_code(await client.get("/api/nothing")) == "MAINTENANCE"
        assert (await client.get("/health")).status_code == 200
        status = (await client.get("/api/status")).json()
        assert status["status"] == "maintenance"
        assert status["maintenance"] == {
            "mode": "full",
            "scopes": ["all"],
            "message": "Back soon",
            "until": None,
        }
        assert error_code(await client.post("/api/payments/webhook")) == "SIGNATURE_INVALID"


async def test_read_only_serves_reads_of_the_domain(side: Side, maintenance: SetMode) -> None:
    await maintenance("auth", "read_only")
    async with side.running() as apps:
        client = apps.client
        await once(client, "/api/auth/login", 503, "POST")
        assert error_code(await client.post("/api/auth/login", json={})) == "READ_ONLY"
        assert error_code(await client.get("/api/auth/users/me")) == "AUTH_REQUIRED"
        assert (await client.get("/api/search?q=x")).status_code == 200
        status = (await client.get("/api/status")).json()
        assert (status["status"], status["domains"]["auth"]) == ("degraded", "read_only")


async def test_without_its_database_the_app_is_unhealthy_and_unavailable(
    side: Side,
) -> None:
    away = "postgresql://nobody@127.0.0.1:1/none"
    async with side.running(database_url=away, is_cut_off=True) as apps:
        client = apps.client
        health = await client.get("/health")
        assert (health.status_code, health.json()["status"]) == (503, "unhealthy")
        answer = await client.get("/api/resources/movies")
        assert (answer.status_code, error_code(answer)) == (503, "UNAVAILABLE")
        assert int(answer.headers["retry-after"]) >= 1
        assert (await client.get("/api/status")).json()["status"] == "down"
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.get("/readyz")).status_code == 503


async def test_without_redis_the_app_is_degraded_and_does_not_limit(
    side: Side, database: asyncpg.Connection
) -> None:
    away = "redis://127.0.0.1:1/0"
    async with side.running(redis_url=away, rate_limits={"public": 1}, is_cut_off=True) as apps:
        client = apps.client
        await once(client, "/api/resources/movies", 200)
        assert (await client.get("/health")).json()["status"] == "degraded"
        for _ in range(3):
            answer = await client.get("/api/resources/movies")
            assert answer.status_code == 200
            assert "x-ratelimit-limit" not in answer.headers


async def test_the_app_recovers_from_a_database_that_cut_its_connections(
    client: httpx.AsyncClient, database: asyncpg.Connection
) -> None:
    assert (await client.get("/api/resources/movies")).status_code == 200
    await database.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name LIKE '%/%' AND datname = current_database()"
    )
    statuses = [(await client.get("/api/resources/movies")).status_code for _ in range(10)]
    assert set(statuses) <= {200, 503}
    assert statuses[-1] == 200


async def test_internal_probes_are_not_for_the_public_host(client: httpx.AsyncClient) -> None:
    for path in ("/healthz", "/readyz", "/metrics"):
        assert (await client.get(path)).status_code == 200
        outside = await client.get(path, headers={"X-Forwarded-For": "192.0.2.1"})
        assert (outside.status_code, error_code(outside)) == (404, "NOT_FOUND")


async def test_a_socket_address_without_an_upgrade_is_malformed(client: httpx.AsyncClient) -> None:
    path = f"/api/story/rooms/{uuid.uuid4()}/ws"
    answer = await client.get(path)
    assert (answer.status_code, error_code(answer)) == (400, "MALFORMED_REQUEST")
    assert allowed(await client.options(path)) == {"GET", "HEAD", "OPTIONS"}
    assert (await client.post(path)).status_code == 405
