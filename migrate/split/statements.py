"""Finds statements and transactions that cross the boundaries between owners, from what the server saw."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import asyncpg
import pglast

from migrate.split.connection import APPLICATION, Connection
from shared.placement.ownership import table_use

#: Pause between two looks at the locks, in seconds: most transactions hold theirs for longer.
SAMPLE_SECONDS = 0.02
#: Schemas of the control store and of splits, which belong to no part.
OWN_SCHEMAS = ("strangler.", "_split_")
#: Statements that are read; the rest is rare.
STATEMENT_LIMIT = 5000

STATEMENTS = """
SELECT s.query, sum(s.calls)::bigint AS calls, sum(s.rows)::bigint AS rows,
  sum(s.total_exec_time)::float8 AS milliseconds, array_agg(DISTINCT r.rolname::text) AS users
FROM {schema}.pg_stat_statements s LEFT JOIN pg_roles r ON r.oid = s.userid
WHERE s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
GROUP BY s.query ORDER BY calls DESC LIMIT {limit}
"""

#: Tables that one transaction has locked for writing, with what it runs.
WRITE_LOCKS = """
SELECT l.virtualtransaction AS transaction, a.application_name AS application,
  left(regexp_replace(a.query, '\\s+', ' ', 'g'), 200) AS query, a.xact_start AS started,
  array_agg(DISTINCT n.nspname || '.' || c.relname) AS tables
FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
  JOIN pg_class c ON c.oid = l.relation AND c.relkind IN ('r', 'p') JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE l.mode = 'RowExclusiveLock' AND l.granted AND n.nspname NOT LIKE 'pg\\_%'
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND a.application_name NOT LIKE $1 || '%'
GROUP BY 1, 2, 3, 4
"""


@dataclass(frozen=True, slots=True)
class SeenStatement:
    """One normalised statement of pg_stat_statements."""

    query: str
    calls: int
    rows: int
    milliseconds: float
    users: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CrossingStatement:
    """A statement that uses tables of several owners."""

    owners: tuple[str, ...]
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    statement: SeenStatement

    @property
    def writes_elsewhere(self) -> bool:
        """Whether it writes tables of one owner while it uses those of another."""
        return bool(self.writes)


@dataclass(frozen=True, slots=True)
class CrossingTransaction:
    """A transaction that was seen with write locks on tables of several owners."""

    owners: tuple[str, ...]
    tables: tuple[str, ...]
    application: str
    query: str
    times_seen: int


@dataclass(frozen=True, slots=True)
class StatementReport:
    """What pg_stat_statements told. `available` is False where the extension is not installed."""

    available: bool
    read: int
    unparsed: int
    crossing: tuple[CrossingStatement, ...]


def owners_of(tables: Iterable[str], owners: Mapping[str, str]) -> tuple[str, ...]:
    """Owners of these tables; tables of nobody count as `?`, those of this toolkit not at all."""
    return tuple(
        sorted({owners.get(table, "?") for table in tables if not table.startswith(OWN_SCHEMAS)})
    )


def find_crossing(
    statements: Iterable[SeenStatement], owners: Mapping[str, str], everywhere: frozenset[str]
) -> tuple[tuple[CrossingStatement, ...], int]:
    """(statements that cross, the most called first; how many could not be parsed).

    `everywhere`: tables that have a copy in every database, which never cross.
    """
    found: list[CrossingStatement] = []
    unparsed = 0
    for statement in statements:
        try:
            use = table_use(statement.query)
        except pglast.parser.ParseError:
            unparsed += 1
            continue
        reads, writes = use.reads - everywhere, use.writes - everywhere
        involved = owners_of(reads | writes, owners)
        if len(involved) > 1:
            found.append(
                CrossingStatement(
                    involved,
                    tuple(sorted(reads - writes)),
                    tuple(sorted(writes)),
                    statement,
                )
            )
    return tuple(sorted(found, key=lambda entry: -entry.statement.calls)), unparsed


async def read_statements(connection: Connection) -> list[SeenStatement] | None:
    """What pg_stat_statements has about this database; None where it cannot be read."""
    schema = await connection.fetchval(
        "SELECT quote_ident(n.nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace"
        " WHERE e.extname = 'pg_stat_statements'"
    )
    if schema is None:
        return None
    try:
        rows = await connection.fetch(STATEMENTS.format(schema=schema, limit=STATEMENT_LIMIT))
    except asyncpg.PostgresError:  # installed, but not loaded or not permitted
        return None
    return [
        SeenStatement(
            row["query"], row["calls"], row["rows"], row["milliseconds"], tuple(row["users"])
        )
        for row in rows
        if row["query"]
    ]


async def report_statements(
    connection: Connection, owners: Mapping[str, str], everywhere: frozenset[str] = frozenset()
) -> StatementReport:
    """Statements that cross, with their owners and calls."""
    statements = await read_statements(connection)
    if statements is None:
        return StatementReport(False, 0, 0, ())
    crossing, unparsed = find_crossing(statements, owners, everywhere)
    return StatementReport(True, len(statements), unparsed, crossing)


async def sample_transactions(
    connection: Connection,
    owners: Mapping[str, str],
    seconds: float,
    everywhere: frozenset[str] = frozenset(),
) -> list[CrossingTransaction]:
    """Transactions that write tables of several owners, caught by looking at locks for a while."""
    until = time.monotonic() + seconds
    seen: dict[tuple[tuple[str, ...], str], tuple[set[tuple[str, object]], set[str], str]] = {}
    while time.monotonic() < until:
        for row in await connection.fetch(WRITE_LOCKS, APPLICATION):
            tables = {name.removeprefix("public.") for name in row["tables"]} - everywhere
            involved = owners_of(tables, owners)
            if len(involved) < 2:
                continue
            key = (involved, row["application"])
            transactions, names, _ = seen.setdefault(key, (set(), set(), row["query"]))
            transactions.add((row["transaction"], row["started"]))
            names |= tables
        await asyncio.sleep(SAMPLE_SECONDS)
    return [
        CrossingTransaction(involved, tuple(sorted(names)), application, query, len(transactions))
        for (involved, application), (transactions, names, query) in sorted(seen.items())
    ]
