"""Every app by itself, without a router: doors that are the same everywhere, and who may use which route."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass

import asyncpg
import httpx
import pytest
import pytest_asyncio

from monolith.app import build_app
from shared.contract.routes import PublicRoute, public_routes
from shared.contract.system import Health
from tests.contracts.api.conformance import conform
from tests.contracts.api.sides import until_ready
from tests.contracts.api.world import (
    ORIGIN,
    World,
    build_service,
    monolith_settings,
    present_services,
)
from tests.support.people import bearer, error_code, service_headers, signed, user_claims

pytestmark = pytest.mark.asyncio(loop_scope="session")

APPS = ("monolith", *present_services())
TOKEN = ("user", "tier1")


@dataclass(frozen=True)
class App:
    """A client of one app and the routes that it answers over plain HTTP."""

    name: str
    client: httpx.AsyncClient
    routes: tuple[PublicRoute, ...]

    async def ask(self, route: PublicRoute, headers: dict[str, str]) -> httpx.Response:
        path = re.sub(r"\{[a-z_]+\}", str(uuid.uuid4()), route.path)
        return await self.client.request(route.method, path, headers=headers)


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=APPS)
async def app(request: pytest.FixtureRequest, world: World) -> AsyncIterator[App]:
    name = request.param
    if name == "monolith":
        built = build_app(monolith_settings(world))
    else:
        built = build_service(name, world, "http://127.0.0.1:1")
    routes = [
        route
        for route in public_routes().values()
        if route.kind != "websocket" and route.service != "system"
        if name in ("monolith", route.service)
    ]
    async with built.router.lifespan_context(built):
        if name != "monolith":
            await until_ready(built, world)
        transport = httpx.ASGITransport(built)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://test", event_hooks={"response": [conform]}
        ) as client:
            yield App(name, client, tuple(routes))


async def test_an_app_tells_of_its_own_health(app: App) -> None:
    answer = await app.client.get("/health")
    health = Health.model_validate_json(answer.content)
    assert (answer.status_code, health.service, health.status) == (200, app.name, "healthy")


async def test_unknown_paths_and_the_description_are_not_found(app: App) -> None:
    for path in ("/api/nothing", "/", "/openapi.json", "/docs", "/api//nothing"):
        answer = await app.client.get(path, headers={"X-Request-Id": "an-id"})
        assert (answer.status_code, error_code(answer)) == (404, "NOT_FOUND")
        assert answer.headers["x-request-id"] == "an-id"


async def test_doors_are_the_same_on_every_route(app: App) -> None:
    for route in app.routes:
        path = re.sub(r"\{[a-z_]+\}", str(uuid.uuid4()), route.path)
        allowed = await app.client.options(path)
        assert allowed.status_code == 204, route.name
        assert route.method in allowed.headers["allow"]
        wrong = await app.client.request("TRACE", path)
        assert (wrong.status_code, error_code(wrong)) == (405, "METHOD_NOT_ALLOWED"), route.name
        asked = {"Origin": ORIGIN, "Access-Control-Request-Method": route.method}
        preflight = await app.client.options(path, headers=asked)
        assert preflight.status_code == 204
        assert preflight.headers["access-control-allow-origin"] == ORIGIN
        assert preflight.headers["access-control-max-age"] == "600"
        if route.method == "GET":
            moved = await app.client.get(f"{path}/?a=b")
            assert (moved.status_code, moved.headers["location"]) == (307, f"{path}?a=b")


async def test_every_route_asks_for_its_token_before_anything_else(
    app: App, database: asyncpg.Connection
) -> None:
    stranger = bearer(signed(user_claims(str(uuid.uuid4()))))
    old = bearer(signed(user_claims(str(uuid.uuid4()), exp=int(time.time()) - 60)))
    for route in app.routes:
        if route.auth not in (*TOKEN, "service_role"):
            continue
        wanted = {
            "AUTH_REQUIRED": {},
            "TOKEN_INVALID": bearer("nonsense"),
            "TOKEN_EXPIRED": old,
            "FORBIDDEN": service_headers() if route.auth in TOKEN else stranger,
        }
        if route.auth in TOKEN and route.name != "auth.sync":
            wanted["ACCOUNT_NOT_PROVISIONED"] = stranger
        for code, headers in wanted.items():
            answer = await app.ask(route, headers)
            assert error_code(answer) == code, route.name
            assert ("www-authenticate" in answer.headers) == (answer.status_code == 401)


async def test_unsigned_deliveries_are_refused(app: App) -> None:
    for route in app.routes:
        if route.auth == "signature":
            answer = await app.ask(route, {})
            assert (answer.status_code, error_code(answer)) == (400, "SIGNATURE_INVALID")
