"""Looks at any PostgreSQL database with the eyes of a split; reads only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from migrate.split.boundary import Boundary, list_tables, read_boundary
from migrate.split.catalogue import find_tables
from migrate.split.connection import Connection
from migrate.split.crossing import fate
from migrate.split.findings import Finding, Weight, sorted_findings
from migrate.split.names import TableName
from migrate.split.servers import ServerFacts, read_facts
from migrate.split.statements import (
    CrossingTransaction,
    StatementReport,
    report_statements,
    sample_transactions,
)
from migrate.split.table_rules import judge_tables, judge_unowned


@dataclass(frozen=True, slots=True)
class Owned:
    """Who owns what: tables by owner, and tables that have a copy in every database."""

    tables: Mapping[str, tuple[TableName, ...]]
    everywhere: frozenset[str] = frozenset()

    @property
    def owners(self) -> dict[str, str]:
        """Table -> owner, by the name that a statement uses."""
        return {str(name): owner for owner, names in self.tables.items() for name in names}

    def in_database(self, present: Sequence[TableName]) -> Owned:
        """The same with `schema.*` replaced by the tables of the schema that nobody else names."""
        named = {table for names in self.tables.values() for table in names}
        found = {
            owner: tuple(
                table
                for entry in names
                for table in (
                    [t for t in present if t.schema == entry.schema and t not in named]
                    if entry.name == "*"
                    else [entry]
                )
            )
            for owner, names in self.tables.items()
        }
        return Owned(found, self.everywhere)


@dataclass(frozen=True, slots=True)
class ServiceInspection:
    """What stands in the way of one service's tables."""

    service: str
    boundary: Boundary
    missing: tuple[str, ...]
    findings: tuple[Finding, ...]
    deletion_events: Mapping[str, str]

    @property
    def total_bytes(self) -> int:
        return sum(table.total_bytes for table in self.boundary.tables.values())

    @property
    def total_rows(self) -> int:
        return sum(table.estimated_rows for table in self.boundary.tables.values())

    def to_do(self) -> tuple[Finding, ...]:
        """What must be solved before the split, or known."""
        return tuple(entry for entry in self.findings if entry.weight is not Weight.INFO)


@dataclass(frozen=True, slots=True)
class Inspection:
    """The whole database."""

    server: ServerFacts
    services: tuple[ServiceInspection, ...]
    unowned: tuple[Finding, ...]
    statements: StatementReport
    transactions: tuple[CrossingTransaction, ...]

    @property
    def is_ready(self) -> bool:
        """Whether nothing forbids a split."""
        return not any(
            finding.weight is Weight.REFUSE
            for service in self.services
            for finding in service.findings
        )

    def as_json(self) -> dict[str, Any]:
        """Plain values for `--json`."""
        return {
            "database": self.server.database,
            "version": self.server.version,
            "is_ready": self.is_ready,
            "services": {entry.service: _service_json(entry) for entry in self.services},
            "unowned": [finding.subject for finding in self.unowned],
            "statements": {
                "available": self.statements.available,
                "read": self.statements.read,
                "unparsed": self.statements.unparsed,
                "crossing": [
                    {
                        "owners": list(entry.owners),
                        "reads": list(entry.reads),
                        "writes": list(entry.writes),
                        "calls": entry.statement.calls,
                        "users": list(entry.statement.users),
                        "query": entry.statement.query,
                    }
                    for entry in self.statements.crossing
                ],
            },
            "transactions": [
                {
                    "owners": list(entry.owners),
                    "tables": list(entry.tables),
                    "application": entry.application,
                    "times_seen": entry.times_seen,
                    "query": entry.query,
                }
                for entry in self.transactions
            ],
        }


def _service_json(entry: ServiceInspection) -> dict[str, Any]:
    boundary = entry.boundary
    return {
        "tables": {
            str(name): {
                "rows": table.estimated_rows,
                "bytes": table.total_bytes,
                "key": list(table.primary_key),
                "partitioned": table.kind == "p",
                "row_security": table.has_row_security,
            }
            for name, table in boundary.tables.items()
        },
        "missing": list(entry.missing),
        "crossing_keys": [
            {
                "name": key.name,
                "key": str(key),
                "direction": "outgoing" if key.is_outgoing else "incoming",
                "becomes": str(fate(key, entry.deletion_events)),
            }
            for key in boundary.crossing_keys
        ],
        "views": sorted({view.name for view in boundary.views}),
        "functions": sorted({function.name for function in boundary.functions}),
        "triggers": [f"{trigger.table}.{trigger.name}" for trigger in boundary.triggers],
        "types": [used.name for used in boundary.types],
        "extensions": sorted({used.extension for used in boundary.types if used.extension}),
        "findings": [
            {
                "check": finding.check,
                "weight": str(finding.weight),
                "subject": finding.subject,
                "message": finding.message,
                "advice": finding.advice,
            }
            for finding in entry.findings
        ],
    }


async def inspect(
    connection: Connection,
    owned: Owned,
    services: Sequence[str],
    *,
    deletion_events: Mapping[str, str] | None = None,
    sample_seconds: float = 0.0,
) -> Inspection:
    """Look at the tables of these services; `owned` knows all owners of the database."""
    events = deletion_events or {}
    server = await read_facts(connection)
    found = [
        await _inspect_service(connection, service, owned.tables.get(service, ()), server, events)
        for service in services
    ]
    everything = [str(name) for name in await list_tables(connection)]
    owners = owned.owners | dict.fromkeys(owned.everywhere, "everywhere")
    ignored = [name for name in everything if name.startswith("strangler.")]
    return Inspection(
        server=server,
        services=tuple(found),
        unowned=tuple(judge_unowned([name for name in everything if name not in ignored], owners)),
        statements=await report_statements(connection, owners, owned.everywhere),
        transactions=tuple(
            await sample_transactions(connection, owners, sample_seconds, owned.everywhere)
        ),
    )


async def _inspect_service(
    connection: Connection,
    service: str,
    names: Iterable[TableName],
    server: ServerFacts,
    events: Mapping[str, str],
) -> ServiceInspection:
    wanted = list(names)
    present = await find_tables(connection, wanted)
    boundary = await read_boundary(connection, list(present))
    findings = judge_tables(
        boundary,
        bypasses_row_security=server.is_superuser or server.bypasses_rls,
        deletion_events=events,
    )
    missing = tuple(str(name) for name in wanted if name not in present)
    findings += [
        Finding(
            "missing_table", Weight.REFUSE, name, "is in the list of the service and not in the database",
            "correct the list, or run the schema migrations",
        )
        for name in missing
    ]  # fmt: skip
    return ServiceInspection(service, boundary, missing, tuple(sorted_findings(findings)), events)
