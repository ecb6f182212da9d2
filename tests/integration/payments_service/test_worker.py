"""The worker's handlers and jobs on real tables, and the processes as they are started."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest

from services.payments.consumers import PaymentsEvents
from services.payments.provider import ReferencePayments
from services.payments.settings import PaymentsSettings
from shared.events.envelope import Event, new_event
from shared.events.topology import Names
from shared.placement import Connection, Database
from shared.placement.service import open_service_database
from shared.quota import Quotas
from tests.support.people import People
from tests.support.queues import remove_queues
from tests.support.served_app import free_port
from tests.support.vendor_service import MANIFEST

ROOT = Path(__file__).resolve().parents[3]
START_SECONDS = 40.0


@pytest.fixture
async def opened(
    web_settings: Callable[..., PaymentsSettings], database: asyncpg.Connection
) -> AsyncIterator[Database]:
    async with open_service_database("payments", web_settings(), MANIFEST) as made:
        yield made


async def handle(opened: Database, type_: str, subject: str, data: dict[str, Any]) -> None:
    events = PaymentsEvents(ReferencePayments(), Quotas(opened.shared))
    event: Event = new_event(type_, source="tests", subject=subject, data=data)

    async def work(connection: Connection) -> None:
        await events.handlers()[type_](connection, event)

    await opened.transaction(work)


async def test_the_handlers_are_those_that_the_manifest_subscribes(opened: Database) -> None:
    handlers = PaymentsEvents(ReferencePayments(), Quotas(opened.shared)).handlers()
    assert set(handlers) == set(MANIFEST.services["payments"].subscribes)


async def test_a_deleted_account_keeps_only_what_the_books_need(
    opened: Database, database: asyncpg.Connection
) -> None:
    people = People(httpx.AsyncClient(), database)
    ana = await people.new(tier=2)
    await database.execute(
        "INSERT INTO payment_transactions (user_id, provider, provider_ref, kind, amount, currency,"
        " occurred_at) VALUES ($1, 'stripe', 'in_1', 'payment', 999, 'usd', now())",
        ana.id,
    )
    await database.execute("SELECT quota_grant($1, 'chat', 5, 'support', 'x')", ana.id)
    await database.execute("DELETE FROM outbox")
    for _ in range(2):  # an event may come again
        await handle(opened, "user.deleted", ana.id, {})
    assert await database.fetchval("SELECT status FROM subscriptions") == "cancelled"
    for table in ("user_quotas", "quota_grants", "promo_redemptions"):
        assert await database.fetchval(f"SELECT count(*) FROM {table}") == 0
    assert await database.fetchval("SELECT count(*) FROM payment_transactions") == 1
    kinds = [row["type"] for row in await database.fetch("SELECT type FROM outbox")]
    assert kinds == ["subscription.cancelled"]


async def test_a_bonus_comes_once_and_not_to_those_who_left(
    opened: Database, database: asyncpg.Connection
) -> None:
    people = People(httpx.AsyncClient(), database)
    ana, ben = await people.new(), await people.new()
    await database.execute(
        "UPDATE users SET deleted_at = now(), email = NULL WHERE id = $1", ben.id
    )
    referral = {"referrer_id": ana.id, "referee_id": ben.id, "code": "ABCDEFGH"}
    streak = {"day": "2026-01-07", "bonus": 2, "check_in_day": 7}
    for _ in range(2):
        await handle(opened, "referral.confirmed", ben.id, referral)
        await handle(opened, "streak.milestone", ana.id, streak)
    rows = await database.fetch("SELECT user_id, bonus FROM user_quotas")
    assert [(str(row["user_id"]), row["bonus"]) for row in rows] == [(ana.id, 7)]


async def test_a_charge_that_was_left_open_is_settled_by_the_event_of_its_result(
    opened: Database, database: asyncpg.Connection
) -> None:
    ana = await People(httpx.AsyncClient(), database).new()
    quotas = Quotas(opened.shared)
    held = await quotas.reserve(UUID(ana.id), "story")
    story = {"story_id": str(uuid.uuid4()), "generated": True, "reservation_id": str(held.id)}
    for _ in range(2):
        await handle(opened, "story.created", ana.id, story)
    row = (await quotas.status(UUID(ana.id)))["story"]
    assert (row.used, row.held) == (1, 0)


@contextmanager
def started(module: str, dsn: str, redis_url: str, rabbitmq_url: str, **more: str) -> Iterator[Any]:
    environment = {
        "PATH": os.environ["PATH"],
        "SHARED_DATABASE_URL": dsn,
        "REDIS_URL": redis_url,
        "RABBITMQ_URL": rabbitmq_url,
        "JWT_SECRETS": "x" * 32,
        "DRAIN_LEAD_SECONDS": "0",
        **more,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", module],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@contextmanager
def topology_of_its_own(rabbitmq_url: str, prefix: str, consumer: str) -> Iterator[None]:
    try:
        yield
    finally:
        names = Names(MANIFEST.project.name, prefix)
        asyncio.run(remove_queues(rabbitmq_url, names, consumer))


@pytest.mark.parametrize("name", ["auth", "payments"])
def test_the_processes_start_serve_and_end_cleanly(
    name: str, dsn: str, redis_url: str, rabbitmq_url: str
) -> None:
    port = free_port()
    servers = (dsn, redis_url, rabbitmq_url)
    prefix = f"t{uuid.uuid4().hex[:10]}."
    with (
        topology_of_its_own(rabbitmq_url, prefix, name),
        started(f"services.{name}", *servers, PORT=str(port)) as web,
        started(f"services.{name}.worker", *servers, EVENTS_PREFIX=prefix) as worker,
    ):
        ends = time.monotonic() + START_SECONDS
        while time.monotonic() < ends and web.poll() is None:
            try:
                if httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.1)
        health = httpx.get(f"http://127.0.0.1:{port}/health").json()
        assert (health["status"], health["service"]) == ("healthy", name)
        for line in worker.stdout:
            if "worker_started" in line:
                break
        for process in (web, worker):
            process.send_signal(signal.SIGTERM)
        assert [process.wait(timeout=20) for process in (web, worker)] == [0, 0]


def test_the_reconciliation_says_what_is_missing_to_run(
    dsn: str, redis_url: str, rabbitmq_url: str
) -> None:
    servers = (dsn, redis_url, rabbitmq_url)
    with started("services.payments.reconcile", *servers) as process:
        output, _ = process.communicate(timeout=START_SECONDS)
        assert process.returncode == 2
    assert "STRIPE_SECRET_KEY" in output
