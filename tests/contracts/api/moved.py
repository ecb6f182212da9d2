"""Every service with a database of its own, its web app and its worker on a real broker."""

from __future__ import annotations

import importlib
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from shared.control.model import FlagChange
from shared.control.store import ControlStore
from shared.events.rabbitmq import BrokerSettings, RabbitBroker
from shared.events.rabbitmq.link import call, open_channel
from shared.events.topology import LADDER_SECONDS, Names
from shared.events.worker import running_worker
from shared.placement.migrations import migrate
from shared.states import DataState
from tests.contracts.api.sides import Running, Side
from tests.contracts.api.world import MANIFEST, World, worker_settings

CALL_SECONDS = 5.0


def own_services(services: Sequence[str]) -> list[str]:
    """Those whose tables move."""
    return [name for name in services if MANIFEST.services[name].placement == "own"]


@asynccontextmanager
async def own_databases(
    postgres_url: str, services: Sequence[str]
) -> AsyncIterator[dict[str, str]]:
    """DSN by service, with its schema; dropped afterwards."""
    names = {name: f"test_own_{name}_{uuid.uuid4().hex[:10]}" for name in own_services(services)}
    admin = await asyncpg.connect(postgres_url)
    try:
        found = {}
        for service, name in names.items():
            await admin.execute(f'CREATE DATABASE "{name}"')
            found[service] = urlunsplit(urlsplit(postgres_url)._replace(path=f"/{name}"))
            await migrate(f"services.{service}", found[service])
        yield found
    finally:
        for name in names.values():
            await admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        await admin.close()


@asynccontextmanager
async def placed(world: World, services: Sequence[str]) -> AsyncIterator[None]:
    """All traffic and all data of the services at the services; undone afterwards."""
    store = await ControlStore.connect(world.database_url)
    state = await store.state()
    routes = [row.name for row in MANIFEST.routes if row.service in services]
    before = {name: FlagChange(percent=state.flags[name].percent) for name in routes}

    async def place(*states: DataState) -> None:
        for name in own_services(services):
            for state in states:
                await store.set_placement(name, state, actor="tests", reason="tests")

    try:
        everything = dict.fromkeys(routes, FlagChange(percent=100.0))
        await store.set_flags(everything, actor="tests", reason="tests")
        await place(DataState.COPYING, DataState.FOLLOWING, DataState.OWN)
        yield
        await place(DataState.FOLLOWING, DataState.SHARED)
        await store.set_flags(before, actor="tests", reason="tests")
    finally:
        await store.close()


@asynccontextmanager
async def moved_system(side: Side, databases: Mapping[str, str]) -> AsyncIterator[Running]:
    """Apps and workers of every service of the side, each on its own database."""
    prefix = f"t{uuid.uuid4().hex[:10]}."
    world = side.world.with_changes(own_databases=databases)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(placed(world, side.services))
        apps = await stack.enter_async_context(side.running(own_databases=databases))
        stack.push_async_callback(_remove_queues, world.rabbitmq_url, prefix, side.services)
        for name in side.services:
            settings = worker_settings(name, world, apps.url)
            settings = settings.model_copy(update={"events_prefix": prefix})
            build = importlib.import_module(f"services.{name}.worker").build
            await stack.enter_async_context(running_worker(name, build, settings, MANIFEST))
        yield apps


async def _remove_queues(url: str, prefix: str, services: Sequence[str]) -> None:
    names = Names(MANIFEST.project.name, prefix)
    queues = [names.unrouted]
    for service in services:
        queues += [names.queue(service), names.dead(service)]
        queues += [names.wait(service, seconds) for seconds in LADDER_SECONDS]
    broker = RabbitBroker(BrokerSettings(url, name="cleanup"))
    async with broker.connection() as connection:
        channel = await open_channel(connection, CALL_SECONDS)
        for queue in queues:
            await call(channel, "queue_delete", CALL_SECONDS, queue)
        for exchange in (names.exchange, names.unrouted):
            await call(channel, "exchange_delete", CALL_SECONDS, exchange)
    await broker.close()
