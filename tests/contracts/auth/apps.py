"""Every app of the system with its own settings, on sockets, for the token vectors."""

from __future__ import annotations

import asyncio
import importlib
import os
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

import httpx
import uvicorn
from fastapi import FastAPI
from pydantic import SecretStr

from monolith.app import build_app
from monolith.settings import Settings as MonolithSettings
from shared.contract.routes import PublicRoute, public_routes
from shared.control.instances import list_instances
from shared.control.model import FlagChange
from shared.control.store import ControlStore
from shared.manifest import load_manifest
from shared.ratelimit.buckets import parse_rate_limits

ROOT = Path(__file__).parents[3]
MANIFEST = load_manifest(ROOT / "migration.toml")
WAIT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Place:
    """Servers, secrets and the issuer that all apps share."""

    database_url: str
    redis_url: str
    rabbitmq_url: str
    directory: Path
    secrets: tuple[str, ...]
    issuer: str | None


def present_services() -> tuple[str, ...]:
    """Services of the manifest that have an app."""
    return tuple(
        name for name in MANIFEST.services if (ROOT / "services" / name / "app.py").exists()
    )


def probe_of(service: str) -> PublicRoute:
    """A reading route that needs a user and nothing else; content has public ones alone."""
    plain = [
        route
        for route in public_routes().values()
        if route.service == service and route.method == "GET" and "{" not in route.path
    ]
    wanted = [route for route in plain if route.auth == "user"]
    return wanted[0] if wanted else public_routes()["content.popular"]


def monolith_app(place: Place, **changes: Any) -> FastAPI:
    values: dict[str, Any] = {
        "database_url": place.database_url,
        "redis_url": place.redis_url,
        "jwt_secrets": place.secrets,
        "jwt_issuer": place.issuer,
        "rate_limits": {},
        "media_dir": place.directory / "media",
        "database_pool_size": 4,
    }
    return build_app(MonolithSettings(**(values | changes)))


def service_app(name: str, place: Place, **changes: Any) -> FastAPI:
    """A service as its own process builds it; fields that its settings do not have are ignored."""
    module = importlib.import_module(f"services.{name}.app")
    kind = get_type_hints(module.build)["settings"]
    settings: Any = kind(
        shared_database_url=SecretStr(place.database_url),
        redis_url=SecretStr(place.redis_url),
        rabbitmq_url=SecretStr(place.rabbitmq_url),
        jwt_secrets=tuple(SecretStr(secret) for secret in place.secrets),
        jwt_issuer=place.issuer,
        rate_limits=parse_rate_limits("off"),
        media_dir=place.directory / "media",
        mail_dir=place.directory / "mail",
        **changes,
    )
    app: FastAPI = module.build(settings, MANIFEST)
    return app


@asynccontextmanager
async def ready(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """An app that has read what it keeps in memory, and a client of it."""
    transport = httpx.ASGITransport(app, client=("203.0.113.7", 4711))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://app") as client,
    ):
        async with asyncio.timeout(WAIT_SECONDS):
            while (await client.get("/readyz")).status_code != 200:
                await asyncio.sleep(0.02)
        yield client


@asynccontextmanager
async def _served(app: FastAPI) -> AsyncIterator[str]:
    """The app's address."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app, log_config=None, access_log=False, server_header=False, lifespan="off"
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve([listener]))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


class Router:
    """A router process in front of the apps; `send_everything` moves every route at once."""

    def __init__(self, url: str, store: ControlStore) -> None:
        self.url = url
        self._store = store

    async def send_everything(self, percent: float) -> None:
        """To the services (100) or to the monolith (0), on every router."""
        changes = {route.name: FlagChange(percent=percent) for route in MANIFEST.routes}
        change = await self._store.set_flags(changes, actor="tests", reason="token vectors")
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                routers = await list_instances(self._store, kind="router")
                if routers and all(one.applied_version >= change.version for one in routers):
                    return
                await asyncio.sleep(0.02)


@asynccontextmanager
async def routed(apps: Mapping[str, FastAPI], place: Place) -> AsyncIterator[Router]:
    """The apps, by upstream name, behind one router process with the shipped manifest."""
    async with AsyncExitStack() as stack:
        urls = {}
        for name, app in apps.items():
            await stack.enter_async_context(ready(app))
            urls[f"{name.upper()}_URL"] = await stack.enter_async_context(_served(app))
        store = await ControlStore.connect(place.database_url)
        stack.push_async_callback(store.close)
        ports = [_free_port(), _free_port()]
        environment = {
            "PATH": os.environ["PATH"],
            "PORT": str(ports[0]),
            "ADMIN_PORT": str(ports[1]),
            "ADMIN_TOKEN": "admin-token",
            "MANIFEST": str(ROOT / "migration.toml"),
            "SHARED_DATABASE_URL": place.database_url,
            "REDIS_URL": place.redis_url,
            "WORKERS": "1",
            **urls,
        }
        log = (place.directory / "router.log").open("wb")
        stack.callback(log.close)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "router", env=environment, cwd=ROOT, stdout=log, stderr=log
        )
        try:
            await _until_ready(process, f"http://127.0.0.1:{ports[1]}/readyz")
            yield Router(f"http://127.0.0.1:{ports[0]}", store)
        finally:
            process.kill()
            await process.wait()


async def _until_ready(process: asyncio.subprocess.Process, url: str) -> None:
    async with asyncio.timeout(WAIT_SECONDS), httpx.AsyncClient(trust_env=False) as client:
        while True:
            assert process.returncode is None, "the router ended; see router.log"
            with suppress(httpx.HTTPError):
                if (await client.get(url)).status_code == 200:
                    return
            await asyncio.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
