"""`migrate db inspect`: what stands in the way of moving tables, on any PostgreSQL database."""

from __future__ import annotations

from typing import Annotated

import typer

from migrate.commands.split_session import AsJson
from migrate.context import Context, get_context, run
from migrate.exit_codes import ExitCode
from migrate.report import console, print_json, print_table
from migrate.split.boundary import list_tables
from migrate.split.connection import connected
from migrate.split.crossing import fate
from migrate.split.findings import Finding, Weight
from migrate.split.inspect import Inspection, Owned, ServiceInspection, inspect
from migrate.split.model import Endpoint, SplitError
from migrate.split.names import Side, TableName
from migrate.split.setup import deletion_events, moving_service, owned_tables

#: How long transactions are watched for write locks on tables of several owners, in seconds.
SAMPLE_SECONDS = 3.0


def inspect_database(
    service: Annotated[
        str | None,
        typer.Argument(metavar="[SERVICE]", help="One service; all that move if left out."),
    ] = None,
    tables: Annotated[
        list[str] | None,
        typer.Option(
            "--tables",
            metavar="[NAME=]TABLE,…",
            help="Tables instead of the manifest's, for any database; once for each part that is to"
            " move. `shop.*` is every table of a schema.",
        ),
    ] = None,
    url_from: Annotated[
        str,
        typer.Option("--url-from", help="Environment variable that holds the database's address."),
    ] = "SHARED_DATABASE_URL",
    sample: Annotated[
        float, typer.Option("--sample", help="Seconds to watch transactions.", min=0.0)
    ] = SAMPLE_SECONDS,
    as_json: AsJson = False,
) -> None:
    """Compare ownership with the live schema and the statements that run; changes nothing.

    Exit code 3 when something forbids a split.
    """
    context = get_context()
    found = run(_inspect(context, service, tables, url_from, sample))
    if as_json:
        print_json(found.as_json())
    else:
        show(found)
    if not found.is_ready:
        raise typer.Exit(ExitCode.REFUSED)


async def _inspect(
    context: Context, service: str | None, tables: list[str] | None, url_from: str, sample: float
) -> Inspection:
    if tables:
        parts, events = parse_parts(tables, service or "tables"), {}
        owned, services = Owned(parts), list(parts)
    elif not context.manifest_path.exists():
        raise SplitError(
            f"{context.manifest_path} does not exist; without a manifest say which tables are to move:"
            f" migrate db inspect --url-from {url_from} --tables NAME=TABLE,TABLE"
        )
    else:
        manifest = context.manifest
        if service is not None:
            moving_service(manifest, service)
        owned, events = owned_tables(manifest), deletion_events(manifest)
        services = [service] if service else [row.name for row in manifest.moving_services()]
    if not services:
        raise SplitError("no service of the manifest moves its tables (placement = own)")
    endpoint = Endpoint(Side.SHARED, context.require(url_from, "the database to look at"))
    async with connected(endpoint, "inspect") as connection:
        owned = owned.in_database(await list_tables(connection))
        return await inspect(
            connection, owned, services, deletion_events=events, sample_seconds=sample
        )


def parse_parts(words: list[str], only_name: str) -> dict[str, tuple[TableName, ...]]:
    """`chat=messages,talks` and the like, as given by --tables; raises SplitError.

    A single part may leave its name out; two parts of one name, or one table twice, are mistakes.
    """
    parts: dict[str, tuple[TableName, ...]] = {}
    owner: dict[TableName, str] = {}
    for word in words:
        name, equals, names = word.rpartition("=")
        name = name.strip() if equals else only_name
        found = tuple(TableName.parse(text.strip()) for text in names.split(",") if text.strip())
        if not name or not found:
            raise SplitError(f"--tables {word}: write NAME=TABLE,TABLE")
        if name in parts:
            raise SplitError(f"--tables names {name} twice; give each part a name: NAME=TABLE,…")
        for table in found:
            if owner.setdefault(table, name) != name:
                raise SplitError(f"--tables gives {table} to {owner[table]} and to {name}")
        parts[name] = found
    return parts


def show(found: Inspection) -> None:
    """For people: tables, keys, findings, statements, and what to do in which order."""
    server = found.server
    console.print(f"Database {server.database}, PostgreSQL {server.major}, as {server.role}\n")
    for entry in found.services:
        _show_service(entry)
    if found.unowned:
        names = ", ".join(finding.subject for finding in found.unowned)
        console.print(f"[yellow]Tables without an owner:[/] {names}\n")
    _show_statements(found)
    print_plan(found)


def _show_service(entry: ServiceInspection) -> None:
    rows = [
        (
            name,
            f"{table.estimated_rows:,}",
            f"{table.total_bytes / 1e6:,.1f} MB",
            ", ".join(table.primary_key) or "-",
            "partitioned" if table.kind == "p" else "",
        )
        for name, table in entry.boundary.tables.items()
    ]
    print_table(f"{entry.service}: tables", ("table", "rows", "size", "key", ""), rows)
    if entry.boundary.crossing_keys:
        print_table(
            f"{entry.service}: foreign keys over the boundary",
            ("key", "direction", "becomes"),
            [
                (str(key), "outgoing" if key.is_outgoing else "incoming", fate(key, entry.deletion_events))
                for key in entry.boundary.crossing_keys
            ],
        )  # fmt: skip
    print_findings(f"{entry.service}: findings", entry.findings)


def print_findings(title: str, findings: tuple[Finding, ...] | list[Finding]) -> None:
    """A table of findings, the heaviest first."""
    if findings:
        print_table(
            title,
            ("weight", "what", "how it is", "what to do"),
            [(f.weight, f.subject, f.message, f.advice) for f in findings],
        )


def _show_statements(found: Inspection) -> None:
    statements = found.statements
    if not statements.available:
        console.print(
            "[yellow]pg_stat_statements is not installed here:[/] statements over the boundary are"
            " unknown; CREATE EXTENSION pg_stat_statements, let traffic run, and inspect again\n"
        )
    elif statements.crossing:
        print_table(
            f"Statements over boundaries ({statements.read} read, {statements.unparsed} not parsed)",
            ("owners", "calls", "writes", "reads", "statement"),
            [
                (
                    " + ".join(entry.owners),
                    f"{entry.statement.calls:,}",
                    ", ".join(entry.writes),
                    ", ".join(entry.reads),
                    " ".join(entry.statement.query.split())[:90],
                )
                for entry in statements.crossing[:20]
            ],
        )
    else:
        console.print(f"No statement crosses a boundary ({statements.read} read).\n")
    if found.transactions:
        print_table(
            "Transactions that write tables of several owners",
            ("owners", "application", "seen", "tables"),
            [
                (" + ".join(entry.owners), entry.application, entry.times_seen, ", ".join(entry.tables))
                for entry in found.transactions
            ],
        )  # fmt: skip


def print_plan(found: Inspection) -> None:
    """What must be solved before a split, in order."""
    console.print("[bold]Before the split[/]")
    steps = [
        f"{entry.service}: {finding}"
        for weight in (Weight.REFUSE, Weight.WARN)
        for entry in found.services
        for finding in entry.findings
        if finding.weight is weight
    ]
    steps += [
        f"{' + '.join(entry.owners)}: take apart the statement that writes {', '.join(entry.writes)}"
        f" ({entry.statement.calls:,} calls)"
        for entry in found.statements.crossing
        if entry.writes
    ]
    steps += [
        f"{' + '.join(entry.owners)}: take apart the transactions of {entry.application}"
        for entry in found.transactions
    ]
    for number, step in enumerate(steps, 1):
        console.print(f"  {number}. {step}", markup=False)
    if not steps:
        console.print("  nothing to do")
    ready = [entry.service for entry in found.services if not entry.to_do()]
    if ready and found.is_ready:
        console.print(f"\nNext: migrate db split {ready[0]}")
