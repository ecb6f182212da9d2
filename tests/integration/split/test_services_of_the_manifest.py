"""Every service of the shipped manifest whose tables move, out of one seeded monolith schema, one after the other."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from migrate.commands.db_migrate import prepare_store
from migrate.commands.seed import fill, populate
from migrate.split.abort import leftovers
from migrate.split.cleaner import clean
from migrate.split.connection import connected
from migrate.split.finalize import finalize_plan
from migrate.split.inspect import inspect
from migrate.split.model import SplitError
from migrate.split.names import Direction, Side, TableName
from migrate.split.operations import run_plan, run_split, run_switch
from migrate.split.setup import deletion_events, owned_tables, split_spec
from migrate.split.status import read_status
from migrate.split.verify.verification import verify
from migrate.steps import StepFailedError
from monolith.migrations import migrate as migrate_monolith
from shared.control.model import FlagChange
from shared.control.store import ControlStore
from shared.manifest import load_manifest
from shared.placement.migrations import schema_parts
from shared.states import DataState
from tests.support.split_lab import Pair, create_database, remove_database
from tests.support.split_servers import SplitServers

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

MANIFEST = load_manifest()
MOVING = tuple(service.name for service in MANIFEST.moving_services())
PEOPLE = 30
SEED = 7


class Monolith:
    """The seeded shared database, its control store, and an own database for each service."""

    def __init__(self, shared: str, own: dict[str, str], store: ControlStore) -> None:
        self.shared = shared
        self.own = own
        self.store = store

    def pair(self, service: str) -> Pair:
        return Pair(self.shared, self.own[service], self.store, split_spec(MANIFEST, service))

    async def send_everything_to(self, service: str) -> None:
        flags = (await self.store.state()).flags
        routes = [name for name, flag in flags.items() if flag.service == service]
        changes = dict.fromkeys(routes, FlagChange(percent=100.0))
        await self.store.set_flags(changes, actor="tester", reason="before the split")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def monolith(split_servers: SplitServers) -> AsyncIterator[Monolith]:
    tag = uuid.uuid4().hex[:8]
    shared_server, own_server = split_servers.urls[Side.SHARED], split_servers.urls[Side.OWN]
    shared = await create_database(shared_server, f"monolith_{tag}")
    await migrate_monolith(shared)
    await fill(shared)
    await populate(shared, PEOPLE, SEED, datetime(2025, 6, 1, tzinfo=UTC))
    await prepare_store(shared, MANIFEST, actor="tester")
    platform = "\n".join(sql for _, sql in schema_parts("services.content", ["platform"]))
    own = {}
    for service in MOVING:
        own[service] = await create_database(own_server, f"{service}_{tag}")
        connection = await asyncpg.connect(own[service])
        await connection.execute(platform)
        await connection.close()
    store = await ControlStore.connect(shared)
    try:
        yield Monolith(shared, own, store)
    finally:
        await store.close()
        for service in MOVING:
            await remove_database(own_server, f"{service}_{tag}")
        await remove_database(shared_server, f"monolith_{tag}")


async def rows_of(pair: Pair, side: Side) -> dict[str, int]:
    """Rows of the whole tables of a service on one side."""
    async with pair.connection(side) as connection:
        return {
            str(table.name): await connection.fetchval(f"SELECT count(*) FROM {table.name.sql}")
            for table in pair.spec.whole_tables
        }


async def shape_of(pair: Pair, side: Side) -> list[str]:
    """Columns, constraints, indexes and triggers of the moved tables, without what a split adds."""
    names = [table.name.name for table in pair.spec.whole_tables]
    async with pair.connection(side) as connection:
        rows = await connection.fetch(
            "SELECT concat_ws(' ', c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,"
            "   pg_get_expr(d.adbin, d.adrelid)) AS line FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
            "   LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum"
            "   WHERE c.relname = ANY ($1) AND c.relnamespace = 'public'::regnamespace AND a.attnum > 0"
            "   AND NOT a.attisdropped"
            " UNION ALL SELECT concat_ws(' ', conrelid::regclass, conname, pg_get_constraintdef(oid))"
            "   FROM pg_constraint WHERE conrelid::regclass::text = ANY ($1) AND conname NOT LIKE 'x\\_%'"
            " UNION ALL SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid::regclass::text = ANY ($1)"
            " UNION ALL SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid::regclass::text = ANY ($1)"
            "   AND NOT tgisinternal AND tgname NOT LIKE 'zz\\_split%' AND tgname NOT LIKE 'split\\_log%'"
            " ORDER BY 1",
            names,
        )
    return [row["line"] for row in rows]


async def touch(pair: Pair, side: Side) -> None:
    """A write to every table, which its trigger follows up where it has one."""
    async with pair.connection(side) as connection:
        for table in pair.spec.whole_tables:
            column = await connection.fetchval(
                "SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum = 1",
                table.name.sql,
            )
            await connection.execute(
                f"UPDATE {table.name.sql} SET {column or 'nothing'} = {column or 'nothing'} WHERE ctid IN"
                f" (SELECT ctid FROM {table.name.sql} LIMIT 3)"
            )


@pytest.mark.parametrize("service", MOVING)
async def test_a_service_is_inspected_split_switched_there_back_and_there_again(
    monolith: Monolith, service: str
) -> None:
    pair = monolith.pair(service)
    async with connected(pair.endpoint(Side.SHARED)) as connection:
        found = await inspect(
            connection,
            owned_tables(MANIFEST),
            [service],
            deletion_events=deletion_events(MANIFEST),
        )
    assert found.is_ready
    assert set(found.services[0].boundary.tables) == {t.name for t in pair.spec.whole_tables}
    cut = {str(key) for key in found.services[0].boundary.crossing_keys}
    async with pair.context() as context:
        if await pair.desk.writers_elsewhere():
            with pytest.raises(StepFailedError, match=f"{service}\\."):
                await run_split(context)
        await monolith.send_everything_to(service)
        before = await rows_of(pair, Side.SHARED)
        await run_split(context)
        assert await rows_of(pair, Side.OWN) == before
        assert await shape_of(pair, Side.OWN) == await shape_of(pair, Side.SHARED)
        for direction in (Direction.FORWARD, Direction.REVERSE, Direction.FORWARD):
            outcome, _ = await run_switch(context, direction)
            assert outcome.data["proof"]["lost"] == 0
            await touch(pair, direction.target)
            with pytest.raises(asyncpg.PostgresError) as caught:
                await touch(pair, direction.source)
            assert caught.value.sqlstate == "SP001"
        assert (await verify(context, Direction.REVERSE)).is_equal
        assert set((await read_status(context)).cut_keys) == cut


async def test_a_person_can_be_deleted_while_every_service_owns_its_tables(
    monolith: Monolith,
) -> None:
    """The keys that cascaded into the moved tables are gone; none of them leads into a fence."""
    async with monolith.pair(MOVING[0]).connection(Side.SHARED) as connection:
        someone = await connection.fetchval("SELECT id FROM users ORDER BY id LIMIT 1")
        await connection.execute("DELETE FROM users WHERE id = $1", someone)
        left = await connection.fetchval(
            "SELECT string_agg(conname, ', ') FROM pg_constraint WHERE contype = 'f' AND confrelid ="
            " 'users'::regclass AND conrelid::regclass::text = ANY ($1)",
            [str(table.name) for name in MOVING for table in monolith.pair(name).spec.whole_tables],
        )
    assert left is None


async def test_deletions_follow_children_that_have_moved_to_a_database_of_their_own(
    monolith: Monolith,
) -> None:
    content, chat = monolith.pair("content"), monolith.pair("chat")
    async with chat.connection(Side.OWN) as connection, content.connection(Side.OWN) as owner:
        character = await owner.fetchval("SELECT id FROM characters LIMIT 1")
        talk = await connection.fetchval(
            "UPDATE conversations SET character_id = $1"
            " WHERE id = (SELECT id FROM conversations LIMIT 1) RETURNING id",
            character,
        )
        await owner.execute("DELETE FROM characters WHERE id = $1", character)
        async with content.context() as context:
            with pytest.raises(SplitError, match="conversations"):
                await clean(context)
            waiting = (await read_status(context)).waiting_deletions
            assert waiting == {"x_conversations_character_id": 1}
        content.neighbours = {TableName.parse("conversations"): chat.endpoint(Side.OWN)}
        async with content.context() as context:
            assert await clean(context) == 1
            assert await clean(context) == 0
        left = "SELECT character_id FROM conversations WHERE id = $1"
        assert await connection.fetchval(left, talk) is None


@pytest.mark.parametrize("service", MOVING)
async def test_a_service_is_finalized_while_others_still_follow(
    monolith: Monolith, service: str, tmp_path: Path
) -> None:
    pair = monolith.pair(service)
    async with pair.context() as context:
        outcome = await run_plan(context, finalize_plan(0.0, tmp_path, check_backup=False))
        ended = outcome.data.get("drop_logs", {}).get("no_longer_carried", [])
        by_log = "conversations(character_id) -> characters on delete set null"
        assert ended == ([by_log] if service == "content" else [])
        assert await leftovers(context) == {"shared": [], "own": []}
    assert (await pair.desk.placement()).state is DataState.FINAL
    await touch(pair, Side.OWN)
    with pytest.raises(asyncpg.UndefinedTableError):
        await touch(pair, Side.SHARED)
