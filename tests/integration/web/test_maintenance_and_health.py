"""Maintenance modes and health of one app (contract, 1.15 and 2.8)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import asyncpg
import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from shared.settings import AppSettings
from shared.web.maintenance import MaintenanceModes, Mode, follow_modes
from shared.web.maintenance_source import MaintenanceTable
from tests.support.sample_service import client_of, running, sample_app

Settings = Callable[..., AppSettings]


def _error(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


async def test_full_maintenance_stops_the_domain_and_no_other(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    until = datetime.now(UTC) + timedelta(seconds=90)
    app.state.platform.maintenance.replace({"content": Mode("content", "full", "Soon back", until)})
    stopped = await client.get("/api/search?q=a")
    assert _error(stopped) == (503, "MAINTENANCE")
    error = stopped.json()["error"]
    assert error["message"] == "Soon back"
    assert error["details"]["scope"] == "content"
    assert error["details"]["until"].endswith("Z")
    assert 80 < error["details"]["retry_after"] <= 90
    assert stopped.headers["retry-after"] == str(error["details"]["retry_after"])
    assert (await client.get("/api/story/stories")).status_code == 200
    assert (await client.get("/api/nothing")).status_code == 404


async def test_read_only_serves_reads(app: FastAPI, client: httpx.AsyncClient) -> None:
    app.state.platform.maintenance.replace({"all": Mode("all", "read_only")})
    assert (await client.get("/api/search?q=a")).status_code == 200
    assert _error(await client.post("/api/chat/talk_with")) == (503, "READ_ONLY")
    assert _error(await client.post("/api/search")) == (405, "METHOD_NOT_ALLOWED")


async def test_health_preflights_and_webhooks_are_exempt(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    app.state.platform.maintenance.replace({"all": Mode("all", "full")})
    assert (await client.get("/health")).status_code == 200
    assert (await client.get("/healthz")).status_code == 200
    assert (await client.post("/api/payments/webhook", content=b"{}")).status_code == 200
    preflight = {"Origin": "https://x", "Access-Control-Request-Method": "GET"}
    assert (await client.options("/api/search", headers=preflight)).status_code == 204


def test_the_stricter_mode_of_domain_and_all_counts() -> None:
    modes = MaintenanceModes({"all": Mode("all", "read_only"), "chat": Mode("chat", "full")})
    assert modes.mode_of("chat").name == "full"
    assert modes.mode_of("media") == Mode("all", "read_only")
    assert modes.mode_of(None).name == "read_only"
    assert MaintenanceModes().mode_of("chat").name == "off"


async def test_a_row_of_the_table_is_followed_and_outlives_an_outage(database: str) -> None:
    connection = await asyncpg.connect(database)
    await connection.execute(
        "CREATE TABLE maintenance_modes (scope text, mode text, message text, until timestamptz)"
    )
    pool = await asyncpg.create_pool(database, min_size=1, max_size=1)
    modes = MaintenanceModes()
    following = asyncio.create_task(follow_modes(modes, MaintenanceTable(pool), 0.05))
    await connection.execute("INSERT INTO maintenance_modes VALUES ('chat', 'full', 'm', NULL)")
    async with asyncio.timeout(5):
        while modes.mode_of("chat").name != "full":
            await asyncio.sleep(0.01)
    await connection.execute("ALTER TABLE maintenance_modes RENAME TO gone")
    await asyncio.sleep(0.2)
    assert modes.mode_of("chat") == Mode("chat", "full", "m", None)
    assert not following.done()
    await connection.execute("ALTER TABLE gone RENAME TO maintenance_modes")
    await connection.execute("UPDATE maintenance_modes SET mode = 'off'")
    async with asyncio.timeout(5):
        while modes.mode_of("chat").name != "off":
            await asyncio.sleep(0.01)
    following.cancel()
    await pool.close()
    await connection.close()


async def test_a_healthy_app_says_so(client: httpx.AsyncClient) -> None:
    answer = await client.get("/health")
    body = answer.json()
    assert answer.status_code == 200
    assert set(body) == {"status", "service", "version", "checks", "timestamp"}
    assert body["status"] == "healthy"
    assert body["service"] == "sample"
    assert body["checks"] == {"database": True, "redis": True, "broker": True}
    assert datetime.fromisoformat(body["timestamp"]).tzinfo is not None
    assert len(body["timestamp"]) == len("2025-01-31T12:00:00.000Z")


@pytest.mark.parametrize(
    ("down", "status", "state", "ready"),
    [
        ({"redis_url": SecretStr("redis://127.0.0.1:1/0")}, 200, "degraded", 200),
        ({"rabbitmq_url": SecretStr("amqp://a:b@127.0.0.1:1/")}, 200, "degraded", 200),
        (
            {"shared_database_url": SecretStr("postgresql://x@127.0.0.1:1/x")},
            503,
            "unhealthy",
            503,
        ),
    ],
)
async def test_a_server_that_is_down_shows(
    make_settings: Settings, down: dict[str, SecretStr], status: int, state: str, ready: int
) -> None:
    async with running(sample_app(make_settings(**down))) as app, client_of(app) as client:
        answer = await client.get("/health")
        assert (answer.status_code, answer.json()["status"]) == (status, state)
        assert list(answer.json()["checks"].values()).count(False) == 1
        assert (await client.get("/readyz")).status_code == ready
        assert (await client.get("/healthz")).status_code == 200


async def test_a_broker_that_speaks_another_language_is_down(make_settings: Settings) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"AMQP\x00\x01\x00\x00")
        await reader.read(100)
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    settings = make_settings(rabbitmq_url=SecretStr(f"amqp://a:b@127.0.0.1:{port}/"))
    async with running(sample_app(settings)) as app, client_of(app) as client:
        assert (await client.get("/health")).json()["checks"]["broker"] is False
    server.close()
    await server.wait_closed()


async def test_a_service_adds_checks_and_a_hanging_one_counts_as_failed(app: FastAPI) -> None:
    async def hangs() -> bool:
        await asyncio.sleep(60)
        return True

    async with client_of(app) as client:
        app.state.health.add("search_index", hangs, required=True)
        answer = await client.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["checks"]["search_index"] is False
        assert (await client.get("/health")).status_code == 200


async def test_the_public_host_does_not_see_internal_probes(client: httpx.AsyncClient) -> None:
    through_router = {"X-Forwarded-For": "203.0.113.7"}
    for path in ("/healthz", "/readyz", "/metrics"):
        assert (await client.get(path)).status_code == 200
        assert _error(await client.get(path, headers=through_router)) == (404, "NOT_FOUND")
    assert (await client.get("/health", headers=through_router)).status_code == 200


async def test_metrics_name_routes_and_never_paths(client: httpx.AsyncClient) -> None:
    await client.get("/api/search?q=a")
    await client.get("/api/secret-path-12345")
    await client.request("BREW", "/api/search")
    text = (await client.get("/metrics")).text
    assert 'http_requests_total{method="GET",route="content.search",service="sample"' in text
    assert 'http_request_seconds_bucket{le="0.005",route="content.search"' in text
    assert "secret-path" not in text
    assert "BREW" not in text
