"""`migrate db verify SERVICE`: compare every row of both sides while they move."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from migrate.commands.split_session import AsJson, DryRun, Service, View, open_split
from migrate.context import run
from migrate.exit_codes import ExitCode
from migrate.report import console, print_error, print_json, print_table
from migrate.split.catalogue import find_tables
from migrate.split.model import StateError
from migrate.split.names import Direction, Side
from migrate.split.operations import current_direction, exclusive
from migrate.split.preview import positions
from migrate.split.verify.verification import NotEqualError, Verification, verify


def verify_tables(
    service: Service,
    jobs: Annotated[
        int, typer.Option("--jobs", help="Pieces compared at the same time, per side.", min=1)
    ] = 2,
    resume_minutes: Annotated[
        float,
        typer.Option(
            "--skip-younger-than", help="Leave out tables found equal in the last minutes.", min=0.0
        ),
    ] = 0.0,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Compare both sides exactly, down to the row and column that differ; exit code 1 if they do."""
    view = View(as_json)

    async def work() -> Verification | None:
        async with open_split(service, view=view) as context:
            direction = await current_direction(context)
            if direction is None:
                raise StateError(
                    f"{service} has no stream to compare over; see `migrate db status {service}`"
                )
            if dry_run:
                shared = await context.control(Side.SHARED)
                names = [table.name for table in context.spec.tables]
                rows = {
                    str(name): table.estimated_rows
                    for name, table in (await find_tables(shared, names)).items()
                }
                _show_plan(service, direction, rows, await positions(context), as_json=as_json)
                return None
            async with exclusive(context):
                return await verify(
                    context,
                    direction,
                    jobs=jobs,
                    skip_younger_than_minutes=resume_minutes or None,
                )

    result = run(work())
    if result is None:
        return
    if as_json:
        print_json(result.as_json())
    else:
        _show(service, result)
    if not result.is_equal:
        raise typer.Exit(ExitCode.FAILED)


def _show_plan(
    service: str,
    direction: Direction,
    rows: dict[str, int],
    where: dict[str, Any],
    *,
    as_json: bool,
) -> None:
    steps = [
        f"lock the tables of the {direction.source} side for some milliseconds and take its snapshot",
        f"stop the {direction.target} side's apply worker at the token and take the other snapshot",
        "let both go on, and compare sums of hashes of every row through the snapshots",
        "look for the row and column in every table whose sums differ",
    ]
    if as_json:
        print_json(
            {
                "service": service,
                "direction": str(direction),
                "steps": steps,
                "estimated_rows": rows,
                "positions": where,
            }
        )
        return
    for number, step in enumerate(steps, 1):
        console.print(f"{number}. {step}")
    print_table(
        "tables", ("table", "rows, about"), [(n, f"{count:,}") for n, count in rows.items()]
    )
    print_table("positions", ("what", "where"), list(where.items()))


def _show(service: str, result: Verification) -> None:
    print_table(
        f"{service}: compared {result.hashed_rows:,} rows in {result.seconds:.2f} s",
        ("table", "shared", "own", "verdict"),
        [
            (
                verdict.table,
                f"{verdict.rows[Side.SHARED]:,}",
                f"{verdict.rows[Side.OWN]:,}",
                "equal" if verdict.is_equal else "DIFFERENT",
            )
            for verdict in result.verdicts
        ],
    )
    for table in result.skipped:
        console.print(f"{table} was equal a short while ago and was left out")
    console.print(
        f"writers waited {result.writers_waited_ms:.1f} ms, the stream {result.stream_waited_ms:.1f} ms"
    )
    if not result.is_equal:
        print_error(NotEqualError(service, list(result.verdicts)).message)
