"""Clients of a service under split, in a process of their own: writers, readers, a bulk job, and a ledger.

They write through `shared.placement`, as services do. The ledger holds what was acknowledged, so that
afterwards every lost or resurrected row is found. Started by `split_lab`; orders come as one line of JSON on
standard input, the report goes to standard output after standard input has been closed.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import uvloop

from shared.control.instances import InstanceInfo
from shared.control.watch import ControlWatcher
from shared.placement.database import Database
from shared.placement.pools import PoolSettings, open_pools
from shared.placement.source import WatchedPlacement

OPENING = "INSERT INTO public.messages (id, conversation_id, seq, content, version) VALUES ($1, $2, $3, $4, 1)"


@dataclass
class Report:
    """What the clients saw. `ledger`: message id -> version, 0 when deleted."""

    ledger: dict[str, int] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)
    writes: int = 0
    reads: int = 0
    bulk_rows: int = 0
    errors: list[str] = field(default_factory=list)
    slowest_write_ms: float = 0.0
    slowest_read_ms: float = 0.0
    slow: list[tuple[float, float]] = field(default_factory=list)  # (unix time, ms) of slow writes


class Clients:
    """Writers, readers and a bulk job over one placement-aware database."""

    def __init__(self, database: Database, order: dict[str, Any]) -> None:
        self.database = database
        self.order = order
        self.report = Report()
        self.stopped = asyncio.Event()

    async def run(self) -> None:
        jobs = [self._writer(number) for number in range(self.order["writers"])]
        jobs += [self._reader() for _ in range(self.order["readers"])]
        if self.order["bulk_rows"]:
            jobs.append(self._bulk())
        await asyncio.gather(*jobs)

    async def _writer(self, number: int) -> None:
        random_ = random.Random(f"{self.order['seed']}/{number}")
        rate = self.order["writes_per_second"]
        pause = self.order["writers"] / rate if rate else 0.0
        mine: list[str] = []
        conversations = self.order["conversations"][number :: self.order["writers"]]
        while not self.stopped.is_set():
            await self._write(random_, mine, random_.choice(conversations))
            if pause:
                await asyncio.sleep(random_.uniform(0.5, 1.5) * pause)

    async def _write(self, random_: random.Random, mine: list[str], conversation: str) -> None:
        report, choice = self.report, random_.random()
        if choice < 0.5 or len(mine) < 5:
            key = str(uuid.UUID(int=random_.getrandbits(128), version=4))
            outcome, version = self._insert(key, conversation), 1
        else:
            key = random_.choice(mine)
            version = report.ledger[key] + 1 if choice < 0.85 else 0
            outcome = self._update(key, version) if version else self._delete(key)
        started = time.monotonic()
        try:
            await outcome
        except Exception as error:  # whatever a client would see as a failure
            report.errors.append(f"{type(error).__name__}: {error}"[:300])
            report.unknown.add(key)
            if key in mine:
                mine.remove(key)
            return
        milliseconds = (time.monotonic() - started) * 1000.0
        report.writes += 1
        report.slowest_write_ms = max(report.slowest_write_ms, milliseconds)
        if milliseconds > 25.0:
            report.slow.append((time.time(), round(milliseconds, 1)))
        report.ledger[key] = version
        if version == 1:
            mine.append(key)
        elif version == 0:
            mine.remove(key)

    async def _insert(self, key: str, conversation: str) -> None:
        async def work(connection: Any) -> None:
            seq = await connection.fetchval(
                "UPDATE public.conversations SET last_seq = last_seq + 1 WHERE id = $1 RETURNING last_seq",
                conversation,
            )
            await connection.execute(OPENING, key, conversation, seq, f"message {seq}")
            await connection.execute(
                "INSERT INTO public.message_reactions (message_id, user_id) VALUES ($1, gen_random_uuid())",
                key,
            )

        await self.database.transaction(work)

    async def _update(self, key: str, version: int) -> None:
        async def work(connection: Any) -> None:
            tag = await connection.execute(
                "UPDATE public.messages SET version = $2, content = content || '.' WHERE id = $1",
                key,
                version,
            )
            if tag != "UPDATE 1":
                raise LookupError(f"message {key} of version {version - 1} is gone: {tag}")

        await self.database.transaction(work)

    async def _delete(self, key: str) -> None:
        async def work(connection: Any) -> None:
            tag = await connection.execute("DELETE FROM public.messages WHERE id = $1", key)
            if tag != "DELETE 1":
                raise LookupError(f"message {key} is gone before it was deleted: {tag}")

        await self.database.transaction(work)

    async def _reader(self) -> None:
        random_ = random.Random()
        while not self.stopped.is_set():
            started = time.monotonic()
            try:
                await self.database.fetch(
                    "SELECT id, seq FROM public.messages WHERE conversation_id = $1 ORDER BY seq DESC LIMIT 20",
                    random_.choice(self.order["conversations"]),
                )
            except Exception as error:
                self.report.errors.append(f"read {type(error).__name__}: {error}"[:300])
            self.report.reads += 1
            milliseconds = (time.monotonic() - started) * 1000.0
            self.report.slowest_read_ms = max(self.report.slowest_read_ms, milliseconds)
            await asyncio.sleep(0.02)

    async def _bulk(self) -> None:
        """A background job that rewrites many rows in one transaction, now and then."""
        rows = self.order["bulk_rows"]

        async def work(connection: Any) -> None:
            tag = await connection.execute(
                "UPDATE public.archive SET touched = touched + 1"
                " WHERE id IN (SELECT id FROM public.archive ORDER BY id LIMIT $1)",
                rows,
            )
            self.report.bulk_rows += int(tag.split()[-1])

        while not self.stopped.is_set():
            try:
                await self.database.transaction(work)
            except Exception as error:
                self.report.errors.append(f"bulk {type(error).__name__}: {error}"[:300])
            try:
                async with asyncio.timeout(self.order["bulk_pause_seconds"]):
                    await self.stopped.wait()
            except TimeoutError:
                continue


async def main() -> None:
    loop = asyncio.get_running_loop()
    order = json.loads(await loop.run_in_executor(None, sys.stdin.readline))
    watcher = ControlWatcher(
        order["shared"],
        instance=InstanceInfo(f"lab/{order['seed']}", "service", order["service"], "lab", 1),
    )
    pools = await open_pools(
        f"{order['service']}/clients",
        shared_dsn=order["shared"],
        own_dsn=order["own"],
        settings=PoolSettings(min_size=2, max_size=order["writers"] + order["readers"] + 2),
    )
    await watcher.start()
    clients = Clients(Database(order["service"], pools, WatchedPlacement(watcher)), order)
    running = asyncio.create_task(clients.run())
    print("ready", flush=True)
    await loop.run_in_executor(None, sys.stdin.read)  # until the parent closes it
    clients.stopped.set()
    await running
    await watcher.stop()
    await pools.close()
    report = clients.report
    print(json.dumps({**report.__dict__, "unknown": sorted(report.unknown)}), flush=True)


if __name__ == "__main__":
    try:
        uvloop.run(main())
    except asyncpg.PostgresError as error:
        sys.exit(f"{type(error).__name__}: {error}")
