"""Two databases, on two servers or on one, with the tables of a chat, and everything to split them."""

from __future__ import annotations

import asyncio
import json
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from migrate.split.context import SplitContext
from migrate.split.desk import Desk
from migrate.split.model import Endpoint, Limits, SplitSpec
from migrate.split.names import Side, TableName
from migrate.steps import Observer, ignore
from shared.control.migrations import migrate
from shared.control.store import ControlStore, RouteFact

SERVICE = "chat"
REPOSITORY = Path(__file__).resolve().parents[2]
TABLES = ("conversations", "messages", "message_reactions", "archive")
ROW_FILTERS = {"inbox": "consumer = 'chat'"}

#: Machines that run tests are slow and busy: nothing here may depend on how fast things are.
PATIENT = Limits(
    max_pause_ms=60_000,
    gate_round_trip_ms=10_000,
    token_seconds=3.0,
    fence_session_ms=8_000,
    lock_backoff_seconds=0.05,
    slot_seconds=60.0,
)

SCHEMA = """
CREATE FUNCTION touch_updated_at() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN NEW.updated_at := clock_timestamp(); RETURN NEW; END $$;
CREATE TYPE mood AS ENUM ('calm', 'tense');
CREATE TABLE users (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), email text NOT NULL);
CREATE TABLE inbox (consumer text NOT NULL, event_id uuid NOT NULL, PRIMARY KEY (consumer, event_id));
CREATE TABLE conversations (id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  user_id uuid NOT NULL CONSTRAINT x_conversations_user_id REFERENCES users (id) ON DELETE CASCADE,
  title text NOT NULL, mood mood NOT NULL DEFAULT 'calm', last_seq bigint NOT NULL DEFAULT 0,
  participants jsonb NOT NULL DEFAULT '[]', updated_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE messages (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), number bigint GENERATED ALWAYS AS IDENTITY,
  conversation_id uuid NOT NULL REFERENCES conversations (id) ON DELETE CASCADE, seq bigint NOT NULL,
  content text NOT NULL, letters int GENERATED ALWAYS AS (char_length(content)) STORED,
  version int NOT NULL DEFAULT 1, score numeric NOT NULL DEFAULT 1.50,
  updated_at timestamptz NOT NULL DEFAULT now(), UNIQUE (conversation_id, seq));
CREATE INDEX messages_updated ON messages (updated_at);
CREATE TABLE message_reactions (message_id uuid NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
  user_id uuid NOT NULL, created_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (message_id, user_id));
CREATE TABLE archive (id serial PRIMARY KEY, body text NOT NULL, touched int NOT NULL DEFAULT 0);
CREATE TRIGGER touch BEFORE UPDATE ON conversations FOR EACH ROW EXECUTE FUNCTION touch_updated_at();
CREATE TRIGGER touch BEFORE UPDATE ON messages FOR EACH ROW EXECUTE FUNCTION touch_updated_at();
COMMENT ON TABLE messages IS 'what was said';
"""

ROWS = """
INSERT INTO users (email) SELECT 'user' || g || '@example.org' FROM generate_series(1, {users}) g;
INSERT INTO conversations (user_id, title) SELECT id, 'talk' FROM users;
INSERT INTO messages (conversation_id, seq, content)
  SELECT id, s, repeat(md5(id::text || s), 3) FROM conversations CROSS JOIN generate_series(1, {messages}) s;
UPDATE conversations SET last_seq = {messages};
INSERT INTO message_reactions (message_id, user_id) SELECT id, gen_random_uuid() FROM messages WHERE seq % 4 = 0;
INSERT INTO archive (body) SELECT md5(g::text) FROM generate_series(1, {archive}) g;
INSERT INTO inbox SELECT x, gen_random_uuid() FROM unnest(ARRAY['chat', 'media']) x, generate_series(1, 50);
"""


def with_database(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


@dataclass
class Pair:
    """The shared and the own database of one service, and its control store."""

    shared: str
    own: str
    store: ControlStore
    spec: SplitSpec
    limits: Limits = PATIENT
    neighbours: dict[TableName, Endpoint] = field(default_factory=dict)

    @property
    def desk(self) -> Desk:
        return Desk(self.store, self.spec.service, "tester")

    def endpoint(self, side: Side) -> Endpoint:
        return Endpoint(side, self.shared if side is Side.SHARED else self.own)

    @asynccontextmanager
    async def context(
        self, observer: Observer = ignore, limits: Limits | None = None
    ) -> AsyncIterator[SplitContext]:
        """A context as a command builds it."""
        context = await SplitContext.open(
            self.spec,
            self.endpoint(Side.SHARED),
            self.endpoint(Side.OWN),
            limits=limits or self.limits,
            observer=observer,
            desk=self.desk,
            neighbours=self.neighbours,
        )
        try:
            yield context
        finally:
            await context.close()

    @asynccontextmanager
    async def connection(
        self, side: Side, **settings: str
    ) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
        """A client's connection, not the tool's."""
        connection = await asyncpg.connect(
            self.endpoint(side).dsn,
            timeout=10,
            command_timeout=60,
            server_settings={"application_name": "test", **settings},
        )
        try:
            yield connection
        finally:
            connection.terminate()

    async def fetchval(self, side: Side, sql: str, *args: Any) -> Any:
        async with self.connection(side) as connection:
            return await connection.fetchval(sql, *args)

    async def execute(self, side: Side, sql: str) -> None:
        async with self.connection(side) as connection:
            await connection.execute(sql)


@asynccontextmanager
async def pair_of(
    shared_server: str,
    own_server: str,
    *,
    schema: str = SCHEMA + ROWS.format(users=40, messages=20, archive=500),
    spec: SplitSpec | None = None,
    routes: tuple[RouteFact, ...] = (),
    removed_by: dict[str, str] | None = None,
) -> AsyncIterator[Pair]:
    """Fresh databases on these servers, removed afterwards with whatever a test left there.

    `removed_by`: server address -> that of a role which may remove what the other one may not.
    """
    remover = removed_by or {}
    name = f"lab_{uuid.uuid4().hex[:10]}"
    shared = await create_database(shared_server, f"{name}_shared")
    own = await create_database(own_server, f"{name}_own")
    store: ControlStore | None = None
    spec = spec or SplitSpec.of(SERVICE, TABLES, row_filters=ROW_FILTERS)
    try:
        connection = await asyncpg.connect(shared)
        await connection.execute(schema)
        await connection.execute("ANALYZE")
        await connection.close()
        await migrate(shared)
        store = await ControlStore.connect(shared)
        await store.register(routes, [spec.service], [], actor="tester")
        yield Pair(shared, own, store, spec)
    finally:
        if store is not None:
            await store.close()
        await remove_database(remover.get(shared_server, shared_server), f"{name}_shared")
        await remove_database(remover.get(own_server, own_server), f"{name}_own")


async def create_database(server: str, name: str) -> str:
    """Its address."""
    connection = await asyncpg.connect(server, timeout=20)
    try:
        await connection.execute(f'CREATE DATABASE "{name}"')
    finally:
        await connection.close()
    return with_database(server, name)


async def remove_database(server: str, name: str) -> None:
    """Subscriptions, slots, then the database."""
    connection = await asyncpg.connect(with_database(server, name), timeout=20)
    for row in await connection.fetch(
        "SELECT subname FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid"
        " WHERE d.datname = current_database()"
    ):
        for action in ("DISABLE", "SET (slot_name = NONE)"):
            await connection.execute(f'ALTER SUBSCRIPTION "{row["subname"]}" {action}')
        await connection.execute(f'DROP SUBSCRIPTION "{row["subname"]}"')
    await connection.close()
    admin = await asyncpg.connect(server, timeout=20)
    try:
        for _ in range(100):
            slots = await admin.fetch(
                "SELECT slot_name, pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE database = $1",
                name,
            )
            if not slots:
                break
            for row in slots:
                try:
                    await admin.execute("SELECT pg_drop_replication_slot($1)", row["slot_name"])
                except asyncpg.PostgresError:
                    await asyncio.sleep(0.05)
        await admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    finally:
        await admin.close()


class Workload:
    """The clients' process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def stop(self) -> dict[str, Any]:
        """Let every client finish what it does, and return the report."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        async with asyncio.timeout(60):
            output = await self._process.stdout.read()
            await self._process.wait()
        assert self._process.returncode == 0, output.decode()
        return json.loads(output)


@asynccontextmanager
async def workload(pair: Pair, **changes: Any) -> AsyncIterator[Workload]:
    """Clients that run while the block does; see `split_workload` for the order's keys."""
    async with pair.connection(Side.SHARED) as connection:
        rows = await connection.fetch(
            "SELECT id::text FROM public.conversations ORDER BY id LIMIT 200"
        )
    order = {
        "shared": pair.shared,
        "own": pair.own,
        "service": pair.spec.service,
        "seed": uuid.uuid4().hex,
        "writers": 8,
        "readers": 1,
        "writes_per_second": 200,
        "bulk_rows": 0,
        "bulk_pause_seconds": 1.0,
        "conversations": [row["id"] for row in rows],
        **changes,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.support.split_workload",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=REPOSITORY,
        limit=1 << 28,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(order).encode() + b"\n")
    await process.stdin.drain()
    async with asyncio.timeout(30):
        ready = await process.stdout.readline()
    assert ready == b"ready\n", ready
    try:
        yield Workload(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def judge(pair: Pair, report: dict[str, Any], side: Side) -> dict[str, list[str]]:
    """Acknowledged writes that are not on a side as acknowledged: lost, stale or resurrected."""
    ledger: dict[str, int] = report["ledger"]
    unknown = set(report["unknown"])
    async with pair.connection(side) as connection:
        rows = await connection.fetch(
            "SELECT id::text, version FROM public.messages WHERE id = ANY ($1::uuid[])",
            list(ledger),
        )
    found = {row["id"]: row["version"] for row in rows}
    lost = [
        key
        for key, version in ledger.items()
        if version and key not in found and key not in unknown
    ]
    stale = [
        key
        for key, version in ledger.items()
        if version and key in found and found[key] < version and key not in unknown
    ]
    resurrected = [key for key, version in ledger.items() if not version and key in found]
    return {"lost": lost, "stale": stale, "resurrected": resurrected}
