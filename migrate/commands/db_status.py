"""`migrate db status [SERVICE]`: who owns the tables, how far the follower is, who hit the fence."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from migrate.commands.split_session import AsJson, View, open_split
from migrate.context import Context, get_context, run
from migrate.report import console, print_error, print_json, print_table
from migrate.split.connection import UnreachableError
from migrate.split.setup import moving_service
from migrate.split.status import Status, read_status


def db_status(
    service: Annotated[
        str | None,
        typer.Argument(metavar="[SERVICE]", help="One service; all that move if left out."),
    ] = None,
    watch: Annotated[
        float | None, typer.Option("--watch", help="Look again every so many seconds.", min=0.2)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the state of a split: owner, lag, verification, refused writers, problems, next command."""
    context = get_context()
    if service is not None:
        moving_service(context.manifest, service)
    run(_show_all(context, service, watch, as_json=as_json))


async def _show_all(
    context: Context, service: str | None, watch: float | None, *, as_json: bool
) -> None:
    names = [service] if service else [row.name for row in context.manifest.moving_services()]
    while True:
        found: list[Status] = []
        for name in names:
            if service is None and context.setting(f"DATABASE_URL_{name.upper()}") is None:
                continue
            try:
                async with open_split(name, view=View(as_json=True)) as split:
                    found.append(await read_status(split))
            except UnreachableError as error:
                if service is not None:
                    raise
                print_error(f"{name}: {error.message}")
        if as_json:
            print_json({"services": [entry.as_json() for entry in found]})
        elif service is None:
            show_overview(found)
        else:
            show(found[0])
        if watch is None:
            return
        await asyncio.sleep(watch)


def show_overview(found: list[Status]) -> None:
    """A line for each service."""
    print_table(
        "Splits",
        ("service", "placement", "owner", "follower", "refused writes", "next"),
        [
            (
                entry.service,
                entry.placement,
                entry.owner,
                _lag(entry),
                sum(entry.refused.values()) or "",
                entry.next_command,
            )
            for entry in found
        ],
    )
    for entry in found:
        for problem in entry.problems:
            console.print(f"{entry.service}: {problem}", markup=False)


def _lag(entry: Status) -> str:
    if entry.lag is None:
        return ""
    if entry.lag.round_trip_ms is None:
        return "not following"
    return f"{entry.lag.round_trip_ms:.1f} ms behind"


def show(entry: Status) -> None:
    """Everything about one service."""
    rows = [
        ("placement", f"{entry.placement}, epoch {entry.epoch}"),
        ("owner", entry.owner),
        ("tables", ", ".join(entry.tables)),
        ("switches so far", entry.switches),
    ]
    if entry.lag is not None:
        lag = entry.lag
        rows += [
            ("follower", _lag(entry)),
            ("behind", f"{lag.behind_bytes or 0:,} bytes not confirmed"),
            ("WAL kept", f"{lag.retained_bytes or 0:,} bytes, {lag.wal_status}"),
            ("errors while applying", lag.apply_errors),
        ]
    if entry.operation is not None:
        operation = entry.operation
        rows.append(
            (
                "last operation",
                f"{operation['kind']} by {operation['actor']}: {operation['status']}",
            )
        )
    rows += [("cut key", key) for key in entry.cut_keys]
    rows += [("old table", f"{old.table} ({old.total_bytes:,} bytes)") for old in entry.old]
    rows += [("silence", f"{s.table}: {s.seconds / 3600:.1f} hours") for s in entry.silences]
    print_table(entry.service, ("what", "how it is"), rows)
    if entry.verified:
        print_table(
            "verified",
            ("table", "verdict", "rows", "minutes ago", "direction"),
            [
                (v.table, "equal" if v.is_equal else "DIFFERENT", f"{v.rows:,}", f"{v.minutes:.1f}", v.direction)
                for v in entry.verified
            ],
        )  # fmt: skip
    if entry.hits:
        print_table(
            "writers that the fence refused",
            ("application", "user", "table", "operation", "hits", "last", "statement"),
            [
                (h.application, h.user, h.table, h.operation, h.hits, f"{h.seen_at:%Y-%m-%d %H:%M:%S}", h.query)
                for h in entry.hits
            ],
        )  # fmt: skip
    for problem in entry.problems:
        console.print(f"problem: {problem}", markup=False)
    console.print(f"next: {entry.next_command}", markup=False)
