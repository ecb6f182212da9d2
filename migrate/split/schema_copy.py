"""Creates on the own database what the moved tables need, no more, and remembers what it created."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pglast

from migrate.split.catalogue import Table, find_tables, read_storages, read_tables
from migrate.split.connection import Connection
from migrate.split.context import SplitContext
from migrate.split.dump import find_client, run_program
from migrate.split.model import RefusedError, SplitError
from migrate.split.names import Side
from migrate.split.scaffold import record_objects
from migrate.split.script import gentle, split_script
from migrate.split.toc import Entry, Round, Selection, parse_toc, select, use_list

#: Longest build of one index or check of one constraint, in seconds.
BUILD_SECONDS = 6 * 3600.0

#: How an object of A is called, so that it can be looked for on B and dropped again.
ADDRESSES = """
SELECT w.position, i.type AS kind, i.identity, a.type, a.object_names, a.object_args
FROM unnest($1::oid[], $2::oid[]) WITH ORDINALITY AS w (classid, objid, position)
  CROSS JOIN LATERAL pg_identify_object(w.classid, w.objid, 0) i
  CROSS JOIN LATERAL pg_identify_object_as_address(w.classid, w.objid, 0) a
WHERE i.identity IS NOT NULL
"""

EARLY_INDEXES = (
    "SELECT indexrelid::bigint FROM pg_index WHERE indrelid = ANY ($1::oid[]) AND indisreplident"
)


@dataclass(frozen=True, slots=True)
class Piece:
    """One thing to create: its statement, and how it is found and dropped (empty: repeatable)."""

    entry: Entry
    kind: str
    identity: str
    statement: str
    exists: bool

    @property
    def drop(self) -> str:
        """Statement that takes it away again; empty where dropping its table is enough."""
        if not self.identity or self.kind in ("default value", "domain constraint"):
            return ""
        if self.kind == "table constraint":
            name, _, table = self.identity.partition(" on ")
            return f"ALTER TABLE IF EXISTS {table} DROP CONSTRAINT IF EXISTS {name}"
        return f"DROP {self.kind.upper()} IF EXISTS {self.identity}"


@dataclass(frozen=True, slots=True)
class SchemaPlan:
    """Pieces by round, what was cut at the boundary, and tables that are there already."""

    pieces: dict[Round, tuple[Piece, ...]]
    cut: tuple[tuple[Entry, str], ...]
    adopted: tuple[str, ...]


async def plan_schema(context: SplitContext) -> SchemaPlan:
    """Dump A's schema, pick what the tables need, and look what B has already."""
    source, target = await context.control(Side.SHARED), await context.control(Side.OWN)
    tables = await read_tables(source, [table.name for table in context.spec.tables])
    oids = [table.oid for table in tables.values()]
    leaves = [storage.oid for storage in await read_storages(source, oids)]
    early = [row[0] for row in await source.fetch(EARLY_INDEXES, oids)]
    with tempfile.TemporaryDirectory(prefix="split-schema-") as folder:
        archive = Path(folder) / "schema.dump"
        major = context.facts[Side.SHARED].major
        arguments = ["-Fc", "-s", "--no-owner", "-f", str(archive)]
        if not context.facts[Side.SHARED].is_superuser:
            arguments += [f"--schema={name}" for name in {table.schema for table in tables}]
        await run_program(find_client("pg_dump", major), arguments, context.endpoints[Side.SHARED])
        restore = find_client("pg_restore", major)
        listing = await run_program(restore, ["-l", "-v", str(archive)])
        selection = select(parse_toc(listing.decode()), [*oids, *leaves], early)
        statements = await _statements(restore, archive, folder, selection)
    pieces = await _locate(source, target, selection, statements)
    adopted = tuple(
        piece.identity
        for piece in pieces.get(Round.BEFORE_COPY, ())
        if piece.kind == "table" and piece.exists
    )
    return SchemaPlan(pieces, selection.cut, adopted)


async def _statements(
    restore: Path, archive: Path, folder: str, selection: Selection
) -> dict[int, str]:
    """SQL of every entry by its id. One run of pg_restore prints all; headers separate them."""
    use = Path(folder) / "use.list"
    use.write_text(use_list(selection.entries), encoding="utf-8")
    script = await run_program(
        restore, ["-L", str(use), "--no-owner", "-v", "-f", "-", str(archive)]
    )
    return split_script(script.decode())


async def _locate(
    source: Connection,
    target: Connection,
    selection: Selection,
    statements: dict[int, str],
) -> dict[Round, tuple[Piece, ...]]:
    named = [entry for entry in selection.entries if entry.catalogue and entry.oid]
    rows = await source.fetch(
        ADDRESSES, [entry.catalogue for entry in named], [entry.oid for entry in named]
    )
    addresses = {named[row["position"] - 1].id: row for row in rows}
    pieces: dict[Round, tuple[Piece, ...]] = {}
    for number, entries in selection.rounds.items():
        found = []
        for entry in entries:
            if entry.id not in statements:
                continue
            row = addresses.get(entry.id)
            # comments and rights have no address of their own: their label names the object
            if is_ours(row["identity"]) if row is not None else names_ours(entry.label):
                continue
            exists = row is not None and await _exists(target, row)
            found.append(
                Piece(
                    entry,
                    row["kind"] if row else "",
                    row["identity"] if row else "",
                    statements[entry.id],
                    exists,
                )
            )
        pieces[number] = tuple(found)
    return pieces


def is_ours(identity: str) -> bool:
    """Whether an object belongs to a split (of any service) and not to the application."""
    name = identity.replace('"', "")
    return name.startswith(("_split_", "zz_split_fence_")) or " on _split_" in name


def names_ours(label: str) -> bool:
    """Whether the label of a comment or a grant, as pg_restore prints it, is about a split's object."""
    return any(is_ours(word) for word in label.split())


async def _exists(target: Connection, address: asyncpg.Record) -> bool:
    try:
        await target.fetchrow(
            "SELECT * FROM pg_get_object_address($1, $2, $3)",
            address["type"],
            list(address["object_names"]),
            list(address["object_args"]),
        )
    except asyncpg.PostgresError:
        return False
    return True


#: Attempts at a statement that met a deadlock, and the growing pause between two, in seconds.
DEADLOCK_ATTEMPTS = 10
DEADLOCK_PAUSE = 0.1


async def create_before_copy(context: SplitContext, plan: SchemaPlan) -> None:
    """Types, functions, sequences and tables, in one transaction, after their clean-up records."""
    target = await context.control(Side.OWN)
    pieces = [piece for piece in plan.pieces[Round.BEFORE_COPY] if not piece.exists]
    await check_adopted(context)
    await _record(target, context, pieces)
    async with target.transaction():
        await target.execute("SET LOCAL check_function_bodies = off")
        for piece in pieces:
            await _run(target, piece, piece.statement)


async def create_keys(context: SplitContext, plan: SchemaPlan) -> None:
    """Primary keys and other constraints: on full tables, before the first change is applied."""
    target = await context.control(Side.OWN)
    pieces = [piece for piece in plan.pieces[Round.AFTER_COPY] if not piece.exists]
    await _record(target, context, pieces)
    for piece in pieces:
        await _run(target, piece, piece.statement, BUILD_SECONDS)


async def create_rest(context: SplitContext, plan: SchemaPlan) -> list[str]:
    """Indexes without blocking the apply worker, then everything else; returns what was left out."""
    target = await context.control(Side.OWN)
    pieces = plan.pieces[Round.AFTER_CATCH_UP]
    await _record(target, context, [piece for piece in pieces if not piece.exists])
    left_out: list[str] = []
    for piece in pieces:
        if piece.entry.kind == "ACL":
            left_out += await _grant(target, piece)
            continue
        for statement in gentle(piece.statement):
            # an interrupted run may have left a foreign key that is not checked yet
            if not piece.exists or " VALIDATE CONSTRAINT " in statement:
                await _run(target, piece, statement, BUILD_SECONDS)
    return left_out


async def drop_broken_indexes(context: SplitContext) -> None:
    """Remove what an interrupted CREATE INDEX CONCURRENTLY has left on the own database."""
    target = await context.control(Side.OWN)
    names = [table.name for table in context.spec.tables]
    rows = await target.fetch(
        "SELECT i.indexrelid::regclass::text AS name FROM pg_index i"
        " JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE NOT i.indisvalid AND c.relkind = 'r'"
        " AND (n.nspname, c.relname) IN (SELECT * FROM unnest($1::text[], $2::text[]))",
        [name.schema for name in names],
        [name.name for name in names],
    )
    for row in rows:
        await target.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {row['name']}", timeout=600.0)


async def _grant(target: Connection, piece: Piece) -> list[str]:
    """Grants one by one: roles of A may be unknown to B."""
    left_out = []
    for statement in pglast.split(piece.statement):
        try:
            await target.execute(statement)
        except asyncpg.UndefinedObjectError:
            left_out.append(f"role unknown on the own database: {statement}")
    return left_out


async def _record(target: Connection, context: SplitContext, pieces: Iterable[Piece]) -> None:
    await record_objects(
        target,
        context.names,
        [(piece.kind, piece.identity, piece.drop) for piece in pieces if piece.drop],
    )


async def _run(target: Connection, piece: Piece, statement: str, seconds: float = 60.0) -> None:
    try:
        await run_past_deadlocks(target, statement, seconds)
    except asyncpg.PostgresError as error:
        raise SplitError(
            f"{piece.entry.kind.lower()} {piece.entry.label} cannot be created on the own"
            f" database: {error}; solve it there (an extension may have to be installed), then"
            " run the command again"
        ) from error


async def run_past_deadlocks(target: Connection, statement: str, seconds: float) -> None:
    """A key between two tables locks both, in another order than the apply worker: one has to give way.

    Not inside a transaction, nor for an index built concurrently, which would be left half made.
    """
    is_whole = not target.is_in_transaction() and "CONCURRENTLY" not in statement
    for attempt in range(1, DEADLOCK_ATTEMPTS + 1):
        try:
            await target.execute(statement, timeout=seconds)
        except asyncpg.DeadlockDetectedError:
            if attempt == DEADLOCK_ATTEMPTS or not is_whole:
                raise
            await asyncio.sleep(DEADLOCK_PAUSE * attempt)
        else:
            return


async def check_adopted(context: SplitContext) -> None:
    """Tables that B has already must be empty and take every column of A; else RefusedError."""
    source, target = await context.control(Side.SHARED), await context.control(Side.OWN)
    names = [table.name for table in context.spec.tables]
    ours, theirs = await read_tables(source, names), await find_tables(target, names)
    reasons: list[str] = []
    for moved in context.spec.tables:
        table = theirs.get(moved.name)
        if table is None:
            continue
        reasons += misfits(ours[moved.name], table)
        if await target.fetchval(f"SELECT EXISTS (SELECT FROM {moved.name.sql}{moved.where})"):
            reasons.append(
                f"table {moved.name} has rows on the own database already; empty it first, or"
                " `migrate db abort` if they are left from an earlier split"
            )
    if reasons:
        raise RefusedError(f"db split {context.spec.service}", reasons)


def misfits(ours: Table, theirs: Table) -> list[str]:
    """Why rows of one table cannot go into another; empty when they can."""
    columns = {column.name: column for column in theirs.columns}
    reasons = []
    for column in ours.columns:
        other = columns.pop(column.name, None)
        if other is None:
            reasons.append(f"table {ours.name} on the own database has no column {column.name}")
        elif (other.type, other.is_generated) != (column.type, column.is_generated):
            reasons.append(
                f"column {ours.name}.{column.name} is {column.type} on the shared database and"
                f" {other.type} on the own one"
            )
    reasons += [
        f"column {ours.name}.{column.name} of the own database must be filled but is not copied"
        for column in columns.values()
        if column.not_null and not column.default_expression and not column.identity
    ]
    return reasons
