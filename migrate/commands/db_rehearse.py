"""`migrate db rehearse SERVICE`: switch, roll back and switch again, on copies or on the real pair."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from migrate.commands.db_split import show_preview
from migrate.commands.split_session import AsJson, DryRun, Service, View, Yes, open_split
from migrate.context import run
from migrate.report import confirm, console, print_json, print_table
from migrate.split.names import Direction
from migrate.split.operations import current_direction
from migrate.split.preview import Preview, preview_plan, preview_switch
from migrate.split.rehearse import rehearse_now, rehearse_on_copy
from migrate.split.split_plan import split_plan
from migrate.split.switch import SwitchOptions


def rehearse(
    service: Service,
    now: Annotated[
        bool,
        typer.Option(
            "--now", help="With the real tables, which must follow already; there and back."
        ),
    ] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    yes: Yes = False,
) -> None:
    """Record the pauses of a switch before it matters. By default on scratch copies of the tables."""
    if dry_run:
        _show_plan(service, now=now, as_json=as_json)
        return
    what = "the real tables, there and back" if now else "scratch copies on both servers"
    confirm(f"Rehearse the switch of {service} with {what}?", yes=yes or as_json)

    async def work() -> dict[str, Any]:
        async with open_split(service, view=View(as_json)) as context:
            return await (rehearse_now(context) if now else rehearse_on_copy(context))

    report = run(work())
    if as_json:
        print_json(report)
        return
    print_table(
        f"{service}: rehearsal on {'the real pair' if now else 'copies'}",
        ("switch", "direction", "pause", "predicted", "canary's slowest write", "lost"),
        [
            (
                entry["number"],
                entry["direction"],
                f"{entry['pause_ms']} ms",
                f"{entry['predicted_ms']} ms",
                f"{entry['canary'].get('slowest_ms')} ms",
                entry["canary"].get("lost"),
            )
            for entry in report["switches"]
        ],
    )
    console.print(f"worst pause {report['worst_pause_ms']} ms. Next: migrate cutover {service}")


def _show_plan(service: str, *, now: bool, as_json: bool) -> None:
    """With the real pair: what a switch meets there and the predicted pause; else the steps of a split."""

    async def look() -> Preview:
        async with open_split(service, view=View(as_json)) as context:
            if not now:
                return await preview_plan(context, split_plan())
            direction = await current_direction(context) or Direction.FORWARD
            return await preview_switch(context, direction, SwitchOptions())

    show_preview(run(look()), as_json=as_json)
