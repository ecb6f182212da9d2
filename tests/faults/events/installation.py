"""A private broker and database, worker processes on them, and the count: events in, effects out."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import sys
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg

from migrate.stack.servers.private import PrivateServers
from shared.events import outbox
from shared.events.envelope import Event, new_event
from shared.events.rabbitmq import BrokerSettings, RabbitBroker
from shared.events.rabbitmq.inspection import queue_states
from shared.events.topology import Names
from shared.placement import Database, FixedPlacement, PlacementError, PoolSettings, open_pools
from shared.placement.pools import CONNECTION_ERRORS

#: How long an outage of a server lasts, in seconds; the bar of the product is 20.
OUTAGE_SECONDS = float(os.environ.get("FAULT_OUTAGE_SECONDS", "2"))
#: Longest time for everything to arrive after a fault, in seconds.
SETTLE_SECONDS = 60.0


@dataclass
class Installation:
    """What one fault test works with."""

    servers: PrivateServers
    dsn: str
    rabbitmq_url: str
    directory: Path
    database: Database
    user: UUID
    names: Names
    workers: list[asyncio.subprocess.Process] = field(default_factory=list)

    async def start_worker(self, **environment: str) -> asyncio.subprocess.Process:
        """A worker process; its log goes to the test's directory."""
        log = (self.directory / f"worker-{len(self.workers)}.log").open("ab")
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.faults.events.worker_process",
            stdout=log,
            stderr=log,
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(Path.cwd()),
                "SHARED_DATABASE_URL": self.dsn,
                "RABBITMQ_URL": self.rabbitmq_url,
                "REDIS_URL": "redis://127.0.0.1:1/0",
                "JWT_SECRETS": "x" * 32,
                "EVENTS_PREFIX": self.names.prefix,
                "MANIFEST": str(Path.cwd() / "migration.toml"),
                **environment,
            },
        )
        log.close()
        self.workers.append(process)
        return process

    async def publish(self, count: int, *, per_transaction: int = 5, pause: float = 0.0) -> None:
        """Commit `count` events through the outbox, waiting through an outage of the database.

        When a connection is lost at the commit nobody knows whether it happened; then the same
        events are not tried again, and the table says which ones count.
        """
        for _ in range(0, count, per_transaction):
            events = [self.image() for _ in range(per_transaction)]
            with contextlib.suppress(PlacementError, *CONNECTION_ERRORS, asyncpg.PostgresError):
                await self.database.transaction(
                    lambda connection, events=events: outbox.add(connection, *events)  # type: ignore[misc]
                )
            await asyncio.sleep(pause)

    def image(self, size: int = 1) -> Event:
        """A chat image of the test's user; see worker_process about sizes that fail."""
        data = {
            "media_id": uuid4(),
            "storage_key": f"media/{uuid4()}",
            "content_type": "image/png",
            "bytes": size,
            "width": None,
            "height": None,
            "sha256": uuid4().hex * 2,
        }
        return new_event("chat.image_received", source="chat", subject=self.user, data=data)

    async def count(self) -> tuple[int, int, int]:
        """(events in, distinct events with an effect, effects)."""
        row = await self.database.fetchrow(
            "SELECT (SELECT count(*) FROM outbox) AS events, count(*) AS effects,"
            " count(DISTINCT split_part(storage_key, '/', 1)) AS applied FROM media_metadata"
        )
        assert row is not None
        return row["events"], row["applied"], row["effects"]

    async def settled(self, seconds: float = SETTLE_SECONDS) -> tuple[int, int, int]:
        """Wait until every event had its effect; returns the last count either way."""
        found = (0, 0, 0)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while True:
                    with contextlib.suppress(PlacementError, *CONNECTION_ERRORS):
                        found = await self.count()
                        if found[0] > 0 and found[0] == found[1]:
                            break
                    await asyncio.sleep(0.05)
        return found

    async def reached(self, effects: int, seconds: float = SETTLE_SECONDS) -> None:
        """Wait for so many effects."""
        async with asyncio.timeout(seconds):
            while (await self.count())[2] < effects:
                await asyncio.sleep(0.02)

    async def consumes_again(self, seconds: float = SETTLE_SECONDS) -> None:
        """Publish one event after the other until one that was just published has its effect."""
        async with asyncio.timeout(seconds):
            while True:
                event = self.image()
                await self.database.transaction(
                    lambda connection, event=event: outbox.add(connection, event)  # type: ignore[misc]
                )
                for _ in range(20):
                    await asyncio.sleep(0.05)
                    if await self.database.fetchval(
                        "SELECT EXISTS (SELECT FROM media_metadata WHERE sha256 = $1)",
                        event.data["sha256"],
                    ):
                        return

    def log_lines(self, word: str) -> int:
        """How often a word stands in the workers' logs: a hot loop would show."""
        return sum(
            path.read_text(errors="replace").count(word)
            for path in self.directory.glob("worker-*.log")
        )

    def last_log_lines(self, count: int = 15) -> str:
        """The end of every worker's log, for the message of a failing test."""
        return "\n".join(
            line
            for path in sorted(self.directory.glob("worker-*.log"))
            for line in path.read_text(errors="replace").splitlines()[-count:]
        )

    async def depths(self, *queues: str) -> list[int]:
        """Ready messages of each queue."""
        broker = RabbitBroker(BrokerSettings(self.rabbitmq_url))
        states = await queue_states(broker, queues)
        await broker.close()
        return [state.messages or 0 for state in states]

    async def rabbitmqctl(self, *arguments: str) -> None:
        """Run rabbitmqctl on the private node."""
        process = await asyncio.create_subprocess_exec(
            "/usr/lib/rabbitmq/bin/rabbitmqctl",
            *arguments,
            env=self.servers.rabbitmq_environment(),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(60):
            _out, errors = await process.communicate()
        assert process.returncode == 0, errors.decode()

    async def close(self) -> None:
        """Stop the workers as Dokku does."""
        for process in self.workers:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
        for process in self.workers:
            try:
                async with asyncio.timeout(20):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
        await self.database.close()


async def open_installation(
    servers: PrivateServers, dsn: str, rabbitmq_url: str, directory: Path
) -> Installation:
    """A database with one user, and a prefix on the broker."""
    connection = await asyncpg.connect(dsn)
    user = await connection.fetchval(
        "INSERT INTO users (email, referral_code) VALUES ('a@example.com', 'AAAAAAAA') RETURNING id"
    )
    await connection.close()
    pools = await open_pools("test", shared_dsn=dsn, settings=PoolSettings(max_size=6))
    return Installation(
        servers,
        dsn,
        rabbitmq_url,
        directory,
        Database("chat", pools, FixedPlacement()),
        user,
        Names("scenextras", f"f{uuid.uuid4().hex[:8]}."),
    )


async def kill_at_random(
    start: Callable[[], Awaitable[asyncio.subprocess.Process]], times: int, seed: int
) -> None:
    """Start a process and kill -9 it a little later, again and again."""
    chosen = random.Random(seed)
    for _ in range(times):
        process = await start()
        await asyncio.sleep(chosen.uniform(0.9, 1.6))
        process.kill()
        await process.wait()
