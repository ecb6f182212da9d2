"""The library and every service with the rights that their database roles get on a host, no more."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import pytest
from jose import jwt
from pydantic import SecretStr

from shared.auth.principal import Principal
from shared.events import inbox, outbox
from shared.events.envelope import new_event
from shared.events.metrics import EventMetrics
from shared.events.rabbitmq import BrokerSettings, RabbitBroker
from shared.events.rabbitmq.link import call, open_channel
from shared.events.topology import LADDER_SECONDS, Names
from shared.events.upkeep import upkeep
from shared.events.worker import Build, WorkerSettings, running_worker
from shared.idempotency.store import Claim
from shared.placement import Database
from shared.placement.service import open_service_database
from shared.quota.quotas import Quotas
from shared.settings import AppSettings
from shared.web.maintenance import MaintenanceModes
from shared.web.maintenance_source import MaintenanceTable
from shared.web.platform import Platform, open_platform
from shared.webhooks import inbox as webhook_inbox
from shared.webhooks.owners import list_owners
from shared.webhooks.providers import Delivery
from tests.contracts.auth.apps import (
    MANIFEST,
    Place,
    present_services,
    probe_of,
    ready,
    service_app,
)
from tests.support.platform_database import one_for_all
from tests.support.sample_service import user_row
from tests.support.service_roles import service_role

SECRET = "the-secret-of-the-least-privileged-0123"


@pytest.fixture(scope="module")
def platform_dsn(postgres_url: str) -> Iterator[str]:
    with one_for_all(postgres_url) as dsn:
        yield dsn


@pytest.fixture
async def user_id(platform_dsn: str) -> UUID:
    """Somebody with an account, a profile and an identity at an outside issuer."""
    made = uuid4()
    connection = await asyncpg.connect(platform_dsn)
    await connection.execute(
        "INSERT INTO users (id, email, referral_code, confirmed) VALUES ($1, $2, $3, true)",
        *user_row(made),
    )
    await connection.execute("INSERT INTO user_profiles (user_id) VALUES ($1)", made)
    await connection.execute(
        "INSERT INTO auth_identities (user_id, provider, external_id) VALUES ($1, 'clerk', $2)",
        made,
        f"user_{made}",
    )
    await connection.close()
    return made


def _settings(dsn: str, redis_url: str, rabbitmq_url: str) -> AppSettings:
    return AppSettings(
        shared_database_url=SecretStr(dsn),
        redis_url=SecretStr(redis_url),
        rabbitmq_url=SecretStr(rabbitmq_url),
        jwt_secrets=(SecretStr(SECRET),),
    )


@asynccontextmanager
async def _opened(service: str, settings: AppSettings) -> AsyncIterator[tuple[Platform, Database]]:
    async with (
        open_platform(service, settings, MaintenanceModes()) as platform,
        open_service_database(service, settings, MANIFEST, kind="worker") as database,
    ):
        yield platform, database


@pytest.mark.parametrize("service", MANIFEST.services)
async def test_the_library_does_all_its_work_with_the_role_of_a_service(
    service: str, platform_dsn: str, redis_url: str, rabbitmq_url: str, user_id: UUID
) -> None:
    async with (
        service_role(platform_dsn, MANIFEST, service) as dsn,
        _opened(service, _settings(dsn, redis_url, rabbitmq_url)) as (platform, database),
    ):
        await _who_calls(platform, user_id)
        await _keys_and_modes(platform, user_id)
        await _quotas(database, user_id)
        await _events(service, database, user_id)
        await _webhooks(database)
        await _until_known(platform_dsn, service)


async def _who_calls(platform: Platform, user_id: UUID) -> None:
    principal = Principal(
        role="authenticated", issuer="clerk", subject=f"user_{user_id}", expires_at=2**40
    )
    for one in (principal, replace(principal, issuer="local", user_id=user_id)):
        account = await platform.accounts.find(one)
        assert account is not None
        assert account.user_id == user_id
    assert await platform.tiers.tier(user_id, fresh=True) == 0


async def _keys_and_modes(platform: Platform, user_id: UUID) -> None:
    claim = await platform.idempotency.claim(user_id, "chat.talk", str(uuid4()), "0" * 64)
    assert isinstance(claim, Claim)
    await claim.complete(200, "application/json", b"{}")
    await platform.idempotency.purge_expired()
    assert await MaintenanceTable(platform.pool).modes() == {}


async def _quotas(database: Database, user_id: UUID) -> None:
    quotas = Quotas(database.shared)
    held = await quotas.reserve(user_id, "chat")
    assert await quotas.settle(held.id)
    assert await quotas.refund(held.id)
    assert (await quotas.status(user_id))["chat"].limit == 5
    await quotas.sweep()


async def _events(service: str, database: Database, user_id: UUID) -> None:
    event = new_event("media.deleted", source="media", subject=user_id, data={"media_id": uuid4()})

    async def publish_and_handle(connection: asyncpg.Connection) -> set[UUID]:
        await outbox.add(connection, event)
        return await inbox.record(connection, service, [event])

    assert await database.transaction(publish_and_handle) == {event.id}
    async with database.pools.home.acquire() as connection, connection.transaction():
        (row,) = await outbox.take_due(connection, 10)
        await outbox.mark_sent(connection, [row.id])
    async with database.pools.home.acquire() as connection:
        assert await outbox.delete_sent(connection, -3600, 10) == 1
        assert (await outbox.lag(connection)).unsent == 0
        assert await inbox.forget(connection, service, -3600, 10) == 1
    for job in upkeep(service, database, EventMetrics()):
        await job.run()


async def _webhooks(database: Database) -> None:
    body = b'{"id": "evt_1"}'
    delivery = Delivery(
        "stripe", f"evt_{uuid4().hex}", "charge.refunded", datetime.now(UTC), body, {}
    )

    async def through(connection: asyncpg.Connection) -> bool:
        stored = await webhook_inbox.store(connection, delivery, {}, "service")
        row = await webhook_inbox.claim(connection, "service", "stripe", delivery.event_id)
        assert row is not None
        await webhook_inbox.finish(connection, "service", row, "processed")
        return stored

    async with database.shared.acquire() as connection, connection.transaction():
        assert await through(connection)
        await webhook_inbox.claim_due(connection, "service", ["stripe"])
        await webhook_inbox.overdue(connection)
        await list_owners(connection)


async def _until_known(dsn: str, service: str) -> None:
    """The control watcher reads the state and reports the instance: barriers count on it."""
    connection = await asyncpg.connect(dsn)
    async with asyncio.timeout(20):
        while not await connection.fetchval(
            "SELECT EXISTS (SELECT FROM strangler.instances WHERE name = $1)", service
        ):
            await asyncio.sleep(0.05)
    await connection.close()


@pytest.mark.parametrize("service", MANIFEST.services)
async def test_a_role_of_a_service_changes_nothing_of_others(
    service: str, platform_dsn: str, user_id: UUID
) -> None:
    owned = set(MANIFEST.services[service].tables)
    foreign = {
        table
        for other in MANIFEST.services.values()
        for table in other.tables
        if table not in owned
    }
    async with service_role(platform_dsn, MANIFEST, service) as dsn:
        connection = await asyncpg.connect(dsn)
        for table in sorted(foreign):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(f"DELETE FROM {table} WHERE false")
        for statement in (
            "UPDATE maintenance_modes SET mode = 'off'",
            "UPDATE strangler.flags SET percent = 0",
            "UPDATE strangler.webhook_owners SET owner = 'service'",
            "CREATE TABLE mine (id int)",
            "UPDATE quota_counters SET used = 0",
        ):
            with pytest.raises(asyncpg.PostgresError):
                await connection.execute(statement)
        await connection.close()


@pytest.mark.parametrize("service", present_services())
async def test_a_service_starts_and_answers_with_its_own_role(
    service: str,
    platform_dsn: str,
    redis_url: str,
    rabbitmq_url: str,
    user_id: UUID,
    tmp_path: Path,
) -> None:
    claims = {
        "sub": str(user_id), "aud": "authenticated", "role": "authenticated", "exp": 2**33,
    }  # fmt: skip
    token = jwt.encode(claims, SECRET, algorithm="HS256")
    async with service_role(platform_dsn, MANIFEST, service) as dsn:
        place = Place(dsn, redis_url, rabbitmq_url, tmp_path, (SECRET,), None)
        async with ready(service_app(service, place)) as client:
            headers = {"Authorization": f"Bearer {token}"}
            answer = await client.get(probe_of(service).path, headers=headers)
            checks = (await client.get("/readyz")).json()["checks"]
        assert "relay" in checks
        assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("service", present_services())
async def test_a_worker_starts_and_does_its_jobs_with_its_own_role(
    service: str, platform_dsn: str, redis_url: str, rabbitmq_url: str, tmp_path: Path
) -> None:
    build: Build = importlib.import_module(f"services.{service}.worker").build
    async with service_role(platform_dsn, MANIFEST, service) as dsn:
        settings = _worker_settings(service)(
            shared_database_url=SecretStr(dsn),
            redis_url=SecretStr(redis_url),
            rabbitmq_url=SecretStr(rabbitmq_url),
            jwt_secrets=(SecretStr(SECRET),),
            events_prefix=f"lp{uuid4().hex[:8]}.",
            media_dir=tmp_path,
            mail_dir=tmp_path,
        )
        async with (
            running_worker(service, build, settings, MANIFEST) as context,
            build(context) as plan,
        ):
            assert set(plan.handlers) == set(MANIFEST.services[service].subscribes)
            for job in plan.periodic:
                await job.run()
        await _forget_queues(settings, service)


def _worker_settings(service: str) -> type[WorkerSettings]:
    """The worker's own settings where it has some."""
    module = importlib.import_module(f"services.{service}.settings")
    own = [
        kind
        for kind in vars(module).values()
        if isinstance(kind, type)
        and issubclass(kind, WorkerSettings)
        and kind is not WorkerSettings
    ]
    return own[0] if own else WorkerSettings


async def _forget_queues(settings: WorkerSettings, service: str) -> None:
    """Remove what the worker has declared under its prefix."""
    broker = RabbitBroker(BrokerSettings(settings.rabbitmq_url.get_secret_value()))
    names = Names(MANIFEST.project.name, settings.events_prefix)
    queues = [names.queue(service), names.dead(service), names.unrouted]
    queues += [names.wait(service, seconds) for seconds in LADDER_SECONDS]
    async with broker.connection() as connection:
        channel = await open_channel(connection, 5)
        for queue in queues:
            await call(channel, "queue_delete", 5, queue)
        for exchange in (names.exchange, names.unrouted):
            await call(channel, "exchange_delete", 5, exchange)
    await broker.close()
