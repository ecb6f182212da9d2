"""`migrate db split SERVICE`: copy the tables to the own database and let them follow."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from migrate.commands.db_inspect import print_findings
from migrate.commands.split_session import AsJson, DryRun, Service, View, Yes, open_split
from migrate.context import run
from migrate.exit_codes import ExitCode
from migrate.report import confirm, console, print_json, print_table
from migrate.split.findings import Finding, Weight, refusals
from migrate.split.model import Limits
from migrate.split.operations import run_split
from migrate.split.preflight import preflight
from migrate.split.preview import Preview, preview_plan
from migrate.split.split_plan import split_plan
from migrate.split.throttle import Throttle

MEGABYTE = 1024 * 1024


def split(
    service: Service,
    jobs: Annotated[int, typer.Option("--jobs", help="Pieces copied at the same time.", min=1)] = 4,
    verify_jobs: Annotated[
        int,
        typer.Option("--verify-jobs", help="Pieces compared at the same time, per side.", min=1),
    ] = 2,
    megabytes_per_second: Annotated[
        float | None, typer.Option("--max-mb-per-second", help="Copy no faster than this.", min=0.1)
    ] = None,
    busy_ms: Annotated[
        float | None,
        typer.Option(
            "--busy-ms", help="Slow down while a commit on the source takes longer.", min=1.0
        ),
    ] = None,
    max_wal_gigabytes: Annotated[
        float,
        typer.Option(
            "--max-wal-gb", help="Stop before the slot keeps more WAL than this.", min=0.1
        ),
    ] = 64.0,
    slot_seconds: Annotated[
        float, typer.Option("--slot-seconds", help="Wait so long for open transactions.", min=1.0)
    ] = 300.0,
    direct: Annotated[
        bool,
        typer.Option("--direct", help="Traffic is still at the monolith; it moves at the cutover."),
    ] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    yes: Yes = False,
) -> None:
    """Copy a service's tables online and keep them following; run it again to go on.

    Writers notice nothing but some milliseconds of waiting while snapshots are taken.
    """
    rate = None if megabytes_per_second is None else megabytes_per_second * MEGABYTE
    throttle = Throttle(rate, busy_ms)
    limits = Limits(
        slot_seconds=slot_seconds, max_retained_wal_bytes=int(max_wal_gigabytes * 1024**3)
    )
    view = View(as_json)

    async def look() -> tuple[list[Finding], Preview]:
        async with open_split(service, view=view, limits=limits) as context:
            findings = await preflight(context, direct=direct)
            return findings, await preview_plan(context, split_plan(direct=direct))

    async def work() -> dict[str, Any]:
        async with open_split(service, view=view, limits=limits) as context:
            outcome = await run_split(
                context, copy_jobs=jobs, verify_jobs=verify_jobs, throttle=throttle, direct=direct
            )
            return {
                "applied": list(outcome.applied),
                "skipped": list(outcome.skipped),
                "seconds": round(outcome.seconds, 3),
                **{name: dict(data) for name, data in outcome.data.items()},
            }

    findings, preview = run(look())
    if dry_run:
        show_preview(preview, findings, as_json=as_json)
        raise typer.Exit(ExitCode.REFUSED if refusals(findings) else ExitCode.OK)
    if not as_json:
        heavy = [finding for finding in findings if finding.weight is not Weight.INFO]
        print_findings(f"{service}: before the start", heavy)
    if not refusals(findings):
        confirm(f"Copy the tables of {service} to its own database?", yes=yes or as_json)
    report = run(work())
    if as_json:
        print_json(report)
        return
    copied = report.get("copy", {})
    if copied.get("rows"):
        console.print(f"copied {copied['rows']:,} rows at {copied['rows_per_second']:,} a second")
    console.print(f"{service} follows. Next: migrate cutover {service}")


def show_preview(
    preview: Preview, findings: list[Finding] | None = None, *, as_json: bool = False
) -> None:
    """The ordered steps of an operation, with live positions."""
    if as_json:
        extra = {} if findings is None else {"findings": [str(finding) for finding in findings]}
        print_json(preview.as_json() | extra)
        return
    if findings:
        print_findings("before the start", findings)
    print_table(
        f"{preview.kind}: steps",
        ("", "step", "what it does", "now"),
        [
            ("there" if step.is_done else "", step.name, step.title, step.detail)
            for step in preview.steps
        ],
    )
    print_table("positions", ("what", "where"), list(preview.positions.items()))
    for reason in preview.reasons:
        console.print(f"not now: {reason}", markup=False)
    if preview.prediction is not None:
        console.print(
            f"predicted pause for writers: {preview.prediction.usual_ms:g} ms"
            f" ({preview.prediction.unlucky_ms:g} ms in an unlucky case); reads go on"
        )
