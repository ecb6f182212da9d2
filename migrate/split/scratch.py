"""Databases for a moment: made on a server, filled with copies of tables, dropped whatever happens."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from migrate.split.catalogue import read_storages, read_tables
from migrate.split.connection import Connection, close, connect, connected
from migrate.split.dump import find_client, run_program
from migrate.split.model import Endpoint, MovedTable, SplitError
from migrate.split.names import literal, quote
from migrate.split.script import split_script
from migrate.split.servers import read_facts
from migrate.split.toc import Round, Selection, parse_toc, select, use_list

#: Every scratch database is called so, which is how forgotten ones are found.
PREFIX = "_split_scratch_"
CREATE_SECONDS = 120.0


def on_database(endpoint: Endpoint, database: str) -> Endpoint:
    """The same server, another database."""

    def changed(dsn: str) -> str:
        return urlunsplit(urlsplit(dsn)._replace(path=f"/{database}")) if dsn else ""

    return Endpoint(endpoint.side, changed(endpoint.dsn), changed(endpoint.peer_dsn))


@asynccontextmanager
async def scratch_database(endpoint: Endpoint, name: str) -> AsyncIterator[Endpoint]:
    """An empty database on the server of `endpoint`, dropped afterwards."""
    async with connected(endpoint, "scratch") as admin:
        await drop_database(admin, name)
        facts = await read_facts(admin)
        like = (
            f" ENCODING {literal(facts.encoding)} LC_COLLATE {literal(facts.collation)}"
            f" LC_CTYPE {literal(facts.ctype)}"
        )
        try:
            await admin.execute(
                f"CREATE DATABASE {quote(name)} TEMPLATE template0{like}", timeout=CREATE_SECONDS
            )
        except asyncpg.InsufficientPrivilegeError as error:
            raise SplitError(
                "the role may not create databases, which the check of a backup needs;"
                " ALTER ROLE … CREATEDB, or check the backup by hand and use --trust-backup"
            ) from error
    try:
        yield on_database(endpoint, name)
    finally:
        await drop_subscriptions(on_database(endpoint, name))
        async with connected(endpoint, "scratch") as admin:
            await drop_database(admin, name)


async def drop_subscriptions(endpoint: Endpoint) -> None:
    """A database with a subscription cannot be dropped."""
    async with connected(endpoint, "scratch") as connection:
        for row in await connection.fetch(
            "SELECT subname FROM pg_subscription WHERE subdbid ="
            " (SELECT oid FROM pg_database WHERE datname = current_database())"
        ):
            name = quote(row["subname"])
            await connection.execute(f"ALTER SUBSCRIPTION {name} DISABLE")
            await connection.execute(f"ALTER SUBSCRIPTION {name} SET (slot_name = NONE)")
            await connection.execute(f"DROP SUBSCRIPTION {name}")


async def drop_database(admin: Connection, name: str) -> None:
    """Drop a scratch database with whatever logical replication was left in it."""
    if not name.startswith(PREFIX):
        raise ValueError(f"{name} is not a scratch database")
    await admin.execute(
        "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots"
        " WHERE database = $1 AND active_pid IS NOT NULL",
        name,
    )
    for row in await admin.fetch(
        "SELECT slot_name FROM pg_replication_slots WHERE database = $1", name
    ):
        await admin.execute("SELECT pg_drop_replication_slot($1)", row["slot_name"])
    await admin.execute(
        f"DROP DATABASE IF EXISTS {quote(name)} WITH (FORCE)", timeout=CREATE_SECONDS
    )


class SchemaArchive:
    """A dump of a database's schema, from which the part that some tables need can be created."""

    def __init__(self, file: Path, restore: Path) -> None:
        self.file = file
        self._restore = restore

    @classmethod
    async def dump(
        cls, endpoint: Endpoint, file: Path, server_major: int, extra: Iterable[str] = ()
    ) -> SchemaArchive:
        """Write the archive."""
        arguments = ["-Fc", "-s", "--no-owner", "--no-acl", "-f", str(file), *extra]
        await run_program(find_client("pg_dump", server_major), arguments, endpoint)
        return cls(file, find_client("pg_restore", server_major))

    async def statements(self, oids: Iterable[int], rounds: Iterable[Round]) -> list[str]:
        """SQL that creates these tables and what they need, in the given rounds."""
        listing = await run_program(self._restore, ["-l", "-v", str(self.file)])
        selection: Selection = select(parse_toc(listing.decode()), oids)
        entries = [entry for number in rounds for entry in selection.rounds[number]]
        with tempfile.TemporaryDirectory(prefix="split-use-") as folder:
            use = Path(folder) / "use.list"
            use.write_text(use_list(entries), encoding="utf-8")
            arguments = ["-L", str(use), "--no-owner", "--no-acl", "-v", "-f", "-", str(self.file)]
            script = await run_program(self._restore, arguments)
        texts = split_script(script.decode())
        return [texts[entry.id] for entry in entries if entry.id in texts]


async def table_oids(connection: Connection, moved: Iterable[MovedTable]) -> list[int]:
    """Tables with their partitions."""
    tables = await read_tables(connection, [table.name for table in moved])
    oids = [table.oid for table in tables.values()]
    leaves = [storage.oid for storage in await read_storages(connection, oids)]
    return sorted({*oids, *leaves})


async def run_script(endpoint: Endpoint, statements: Iterable[str]) -> None:
    """Run statements in a database of the tool's own."""
    connection = await connect(endpoint, "scratch")
    try:
        await connection.execute("SET check_function_bodies = off")
        for statement in statements:
            await connection.execute(statement, timeout=3600.0)
    finally:
        await close(connection)


async def set_snapshot(connection: Connection, snapshot: str) -> None:
    """Look at the database as another transaction does."""
    await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    await connection.execute(f"SET TRANSACTION SNAPSHOT {literal(snapshot)}")
