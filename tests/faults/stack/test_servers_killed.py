"""kill -9 of PostgreSQL, Redis and RabbitMQ under load: content is served on, and all recovers without a restart."""

from __future__ import annotations

import asyncio
import json
import shutil
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from migrate.demo.load_process import LoadProcess, running_load
from migrate.stack.local import LocalStack
from migrate.stack.probe import ProbeAnswer, get
from migrate.stack.programs import ServerKind
from shared.control.barrier import wait_until_applied
from shared.control.instances import list_instances
from shared.control.model import FlagChange
from shared.control.store import ControlStore

HOST = "127.0.0.1"
RECOVERY_SECONDS = 30.0
STACK_SERVICES = ("content",)  # read by the fixture

pytestmark = pytest.mark.timeout(300)


async def set_content(stack: LocalStack, percent: float) -> int:
    """Wait until all routers report, set the flags of content; returns how many routers have applied it."""
    store = await ControlStore.connect(stack.facts.shared_url)
    try:
        async with asyncio.timeout(RECOVERY_SECONDS):
            while not await all_routers_report(store, stack.facts.router_workers):
                await asyncio.sleep(0.1)
        state = await store.state()
        routes = [name for name, flag in state.flags.items() if flag.service == "content"]
        change = await store.set_flags(
            dict.fromkeys(routes, FlagChange(percent=percent)), actor="test", reason="fault"
        )
        applied = await wait_until_applied(
            store, change, timeout_seconds=RECOVERY_SECONDS, kind="router"
        )
        return len(applied.applied)
    finally:
        await store.close()


async def all_routers_report(store: ControlStore, wanted: int) -> bool:
    return sum(row.is_live for row in await list_instances(store, kind="router")) == wanted


@asynccontextmanager
async def load_on(stack: LocalStack, prefixes: str) -> AsyncIterator[LoadProcess]:
    url = stack.facts.public_url
    async with running_load(url, rate=200.0, clients=30, prefixes=prefixes) as load:
        await load.wait_until_ready()
        yield load


async def answers(load: LoadProcess, more: int) -> None:
    """Wait until the load has got so many more answers."""
    wanted = load.latest.answered + more
    while (await load.next_sample()).answered < wanted:
        continue


@asynccontextmanager
async def one_server_killed(stack: LocalStack, kind: ServerKind) -> AsyncIterator[None]:
    await stack.servers.kill(kind)
    try:
        yield
    finally:
        await stack.servers.start(kind)


async def sign_up_works(stack: LocalStack) -> None:
    """Retry until an account can be made: the apps find their servers again by themselves."""
    async with httpx.AsyncClient(base_url=stack.facts.public_url) as client:
        async with asyncio.timeout(RECOVERY_SECONDS):
            while True:
                email = f"fault-{uuid.uuid4().hex[:8]}@example.com"
                made = await client.post("/api/auth/create-account", json={"email": email})
                if made.status_code == 201:
                    break
                await asyncio.sleep(0.2)
        body = {"email": email, "code": "000000"}
        assert (await client.post("/api/auth/verify-otp", json=body)).status_code == 200


@pytest.mark.parametrize(
    ("kind", "percent", "prefixes"),
    [
        # Without its database a domain answers 503 (contract, 1.15); what the service has in memory goes on.
        ("postgres", 100.0, "content.search,content.autocomplete"),
        ("redis", 50.0, ""),
        ("rabbitmq", 50.0, ""),
    ],
)
async def test_content_is_served_while_a_server_is_dead_and_all_recovers_without_a_restart(
    local_stack: LocalStack, kind: ServerKind, percent: float, prefixes: str
) -> None:
    assert await set_content(local_stack, percent) == local_stack.facts.router_workers
    pids = {s.name: s.pid for s in await local_stack.processes() if s.name not in (kind, "epmd")}
    async with load_on(local_stack, prefixes) as load:
        await answers(load, 100)
        async with one_server_killed(local_stack, kind):
            await answers(load, 300)
        await answers(load, 100)
        result = await load.finish()
    assert result.failures == ()
    assert (result.failed, result.differing) == (0, 0)
    await sign_up_works(local_stack)
    assert await set_content(local_stack, 0.0) == local_stack.facts.router_workers
    after = {s.name: s.pid for s in await local_stack.processes() if s.is_running}
    assert {name: after.get(name) for name in pids} == pids


async def test_a_router_without_postgresql_serves_from_its_snapshot_else_says_503(
    local_stack: LocalStack,
) -> None:
    facts = local_stack.facts
    await set_content(local_stack, 100.0)
    await local_stack.supervisor.stop("router")
    async with one_server_killed(local_stack, "postgres"):
        await local_stack.start("router")
        served = await get(HOST, facts.ports["router"], "/api/search?q=matrix")
        assert served.status == 200
        assert json.loads(served.body)["query"] == "matrix"

        await local_stack.supervisor.stop("router")
        await asyncio.to_thread(shutil.rmtree, local_stack.layout.data("router"))
        await local_stack.launch("router")
        refused = await first_answer(facts.ports["router"], "/api/search?q=matrix")
        assert refused.status == 503
        assert json.loads(refused.body)["error"]["code"] == "UNAVAILABLE"
        ready = await first_answer(facts.admin_ports[0], "/readyz")
        assert ready.status == 503
    async with asyncio.timeout(RECOVERY_SECONDS):
        while (await get(HOST, facts.ports["router"], "/api/search?q=matrix")).status != 200:
            await asyncio.sleep(0.1)


async def first_answer(port: int, path: str) -> ProbeAnswer:
    """The first answer of a process that is just starting."""
    async with asyncio.timeout(RECOVERY_SECONDS):
        while True:
            answer = await get(HOST, port, path, timeout_seconds=10.0)
            if answer.status:
                return answer
            await asyncio.sleep(0.05)
