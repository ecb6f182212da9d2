"""`migrate db abort|finalize|clean SERVICE`: take a split back, or end it for good."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from migrate.commands.db_split import show_preview
from migrate.commands.split_session import (
    BACKUPS,
    AsJson,
    Backups,
    DryRun,
    Service,
    TrustBackup,
    View,
    Yes,
    is_interactive,
    open_split,
)
from migrate.context import get_context, run
from migrate.report import confirm, console, print_json, print_table
from migrate.split.abort import abort_plan, leftovers, require_clean
from migrate.split.cleaner import clean
from migrate.split.context import SplitContext
from migrate.split.finalize import finalize_plan
from migrate.split.model import SplitError
from migrate.split.names import Side
from migrate.split.old_tables import OldTable, drop_old_tables, old_tables
from migrate.split.operations import exclusive, run_plan
from migrate.split.preview import preview_plan
from migrate.split.setup import moving_service
from migrate.steps import Plan

Confirm = Annotated[
    str | None,
    typer.Option("--confirm", metavar="SERVICE", help="The service's name, typed again."),
]


def abort(
    service: Service,
    backups: Backups = BACKUPS,
    trust_backup: TrustBackup = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    yes: Yes = False,
) -> None:
    """Take a split back: nothing is left on either side, and the shared database is as it was."""
    plan = abort_plan(backups, check_backup=not trust_backup)
    if dry_run:
        _preview(service, plan, as_json=as_json)
        return
    confirm(f"Drop the copy of {service} and everything of its split?", yes=yes or as_json)
    report = _run(service, plan, as_json=as_json, check_leftovers=True)
    _show(report, f"the split of {service} is gone; nothing is left", as_json=as_json)


def finalize(
    service: Service,
    drop: Annotated[
        bool, typer.Option("--drop", help="Drop the renamed old tables, after a backup of them.")
    ] = False,
    soak_days: Annotated[
        float | None,
        typer.Option("--soak-days", help="Instead of the manifest's soak_days.", min=0.0),
    ] = None,
    typed: Confirm = None,
    backups: Backups = BACKUPS,
    trust_backup: TrustBackup = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    yes: Yes = False,
) -> None:
    """End the way back for good: a last comparison, a backup, old tables renamed, streams dropped.

    The service's name must be typed again, here or with --confirm; --yes is not enough.
    """
    gates = moving_service(get_context().manifest, service).gates
    days = gates.soak_days if soak_days is None else soak_days
    plan = finalize_plan(days, backups, check_backup=not trust_backup)
    if dry_run and drop:
        _preview_drop(service, as_json=as_json)
        return
    if dry_run:
        _preview(service, plan, as_json=as_json)
        return
    require_typed(service, typed, "drops the old tables" if drop else "ends the way back")
    if drop:
        report = run(_drop(service, backups, check=not trust_backup, as_json=as_json))
        names = ", ".join(report["dropped"]) or "nothing"
        _show(report, f"dropped {names}", as_json=as_json)
        return
    report = _run(service, plan, as_json=as_json, check_leftovers=True)
    _show(
        report,
        f"{service} keeps its tables for good. Later: migrate db finalize {service} --drop",
        as_json=as_json,
    )


def clean_keys(
    service: Service,
    every: Annotated[
        float | None,
        typer.Option("--every", help="Do it again every so many seconds, until stopped.", min=0.2),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Carry over deletions that foreign keys over the boundary used to cascade."""

    async def work() -> None:
        async with open_split(service, view=View(as_json)) as context:
            while True:
                async with exclusive(context):
                    count = await clean(context)
                if count or every is None:
                    _show({"deletions": count}, f"{count} deletions carried over", as_json=as_json)
                if every is None:
                    return
                await asyncio.sleep(every)

    run(work())


def require_typed(service: str, typed: str | None, what: str) -> None:
    """The name of the service, typed by a person or given on the command line; raises SplitError."""
    if typed is None and is_interactive():
        typed = typer.prompt(f"This {what} of {service}. Type the name of the service")
    if typed != service:
        raise SplitError(
            f"this {what} of {service} and cannot be taken back; nothing was changed."
            f" Add --confirm {service} if that is what you want"
        )


def _preview(service: str, plan: Plan[SplitContext], *, as_json: bool) -> None:
    async def look() -> None:
        async with open_split(service, view=View(as_json)) as context:
            show_preview(await preview_plan(context, plan), as_json=as_json)

    run(look())


def _preview_drop(service: str, *, as_json: bool) -> None:
    async def look() -> list[OldTable]:
        async with open_split(service, view=View(as_json)) as context:
            return await old_tables(await context.control(Side.SHARED), context.spec.tables)

    found = run(look())
    steps = [
        "back up the old tables",
        "restore the backup into a scratch database and compare",
        "drop them",
    ]
    if as_json:
        tables = [
            {"table": str(old.table), "was": old.was, "bytes": old.total_bytes} for old in found
        ]
        print_json({"plan": "drop", "steps": steps if found else [], "tables": tables})
        return
    rows = [(old.table, old.was, old.day, f"{old.total_bytes / 1e6:,.1f} MB") for old in found]
    print_table(f"{service}: old tables", ("table", "was", "since", "size"), rows)
    for number, step in enumerate(steps if found else ["nothing to do"], 1):
        console.print(f"{number}. {step}")


def _run(
    service: str, plan: Plan[SplitContext], *, as_json: bool, check_leftovers: bool
) -> dict[str, Any]:
    async def work() -> dict[str, Any]:
        async with open_split(service, view=View(as_json)) as context:
            outcome = await run_plan(context, plan)
            left = await leftovers(context)
            if check_leftovers:
                require_clean(left)
            return {
                "applied": list(outcome.applied),
                "skipped": list(outcome.skipped),
                "seconds": round(outcome.seconds, 3),
                "leftovers": left,
                **{name: dict(data) for name, data in outcome.data.items()},
            }

    return run(work())


async def _drop(service: str, backups: Path, *, check: bool, as_json: bool) -> dict[str, Any]:
    async with open_split(service, view=View(as_json)) as context, exclusive(context):
        return await drop_old_tables(context, backups, check_backup=check)


def _show(report: dict[str, Any], sentence: str, *, as_json: bool) -> None:
    if as_json:
        print_json(report)
        return
    backup = report.get("backup") or {}
    if backup.get("folder"):
        state = "restored and compared" if backup.get("verified_at") else "NOT restored"
        console.print(f"backup in {backup['folder']} ({state})", markup=False)
    for line in report.get("restore_keys", {}).get("unchecked", ()):
        console.print(line, markup=False)
    for key in report.get("drop_logs", {}).get("no_longer_carried", ()):
        console.print(f"deletions are no longer carried over: {key}", markup=False)
    console.print(sentence, markup=False)
