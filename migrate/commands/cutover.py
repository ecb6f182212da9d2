"""`migrate cutover SERVICE` and what it shares with rollback: preview, confirmation, switch, figures."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from migrate.commands.db_split import show_preview
from migrate.commands.split_session import AsJson, DryRun, Service, View, Yes, open_split
from migrate.context import get_context, run
from migrate.exit_codes import ExitCode
from migrate.report import confirm, console, print_json
from migrate.split.model import Limits
from migrate.split.names import Direction
from migrate.split.operations import run_switch
from migrate.split.preview import Preview, preview_switch
from migrate.split.setup import moving_service
from migrate.split.switch import SwitchOptions

Direct = Annotated[
    bool,
    typer.Option(
        "--direct", help="Routes move together with the tables, under a hold of the routers."
    ),
]
HoldSeconds = Annotated[
    float | None,
    typer.Option(
        "--hold-seconds", help="Longest hold; the manifest's hold_seconds if left out.", min=0.1
    ),
]
MaxPause = Annotated[
    float,
    typer.Option("--max-pause-ms", help="Do not start if writers would wait longer.", min=1.0),
]
GateSeconds = Annotated[
    float, typer.Option("--gate-seconds", help="Wait so long for a good moment.", min=0.0)
]
Unverified = Annotated[
    bool, typer.Option("--unverified", help="Do not ask for a fresh comparison of every row.")
]


def cutover(
    service: Service,
    direct: Direct = False,
    hold_seconds: HoldSeconds = None,
    max_pause_ms: MaxPause = 150.0,
    gate_seconds: GateSeconds = 60.0,
    unverified: Unverified = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    yes: Yes = False,
) -> None:
    """Make the own database the owner of a service's tables; the shared one follows it from then on.

    Run again after an interruption: it finishes what is committed and takes back what is not.
    """
    switch_owner(
        service, Direction.FORWARD, direct=direct, hold_seconds=hold_seconds, max_pause_ms=max_pause_ms,
        gate_seconds=gate_seconds, verified=not unverified, dry_run=dry_run, as_json=as_json, yes=yes,
    )  # fmt: skip


def switch_owner(
    service: str,
    direction: Direction,
    *,
    direct: bool,
    hold_seconds: float | None,
    max_pause_ms: float,
    gate_seconds: float,
    verified: bool,
    dry_run: bool,
    as_json: bool,
    yes: bool,
) -> None:
    """Show the prediction, ask, switch, show what was measured."""
    gates = moving_service(get_context().manifest, service).gates
    options = SwitchOptions(
        direct=direct,
        hold_seconds=hold_seconds if hold_seconds is not None else gates.hold_seconds,
        drain_seconds=gates.drain_seconds,
        verified=verified,
    )
    limits = Limits(max_pause_ms=max_pause_ms, gate_seconds=gate_seconds)

    async def look() -> Preview:
        async with open_split(service, view=View(as_json), limits=limits) as context:
            return await preview_switch(context, direction, options)

    async def work() -> dict[str, Any]:
        async with open_split(service, view=View(as_json), limits=limits) as context:
            outcome, report = await run_switch(context, direction, options)
            return {
                **report,
                "applied": list(outcome.applied),
                "skipped": list(outcome.skipped),
                "late_instances": list(outcome.data.get("everywhere", {}).get("late", [])),
                "canary": dict(outcome.data.get("proof", {})),
            }

    if dry_run:
        preview = run(look())
        show_preview(preview, as_json=as_json)
        raise typer.Exit(ExitCode.REFUSED if preview.reasons else ExitCode.OK)
    if not (yes or as_json):
        preview = run(look())
        _show_prediction(service, direction, preview)
        confirm(f"Switch {service} to the {direction.target} database?", yes=yes)
    report = run(work())
    if as_json:
        print_json(report)
    else:
        _show_report(service, direction, report)
    if report["late_instances"]:
        raise typer.Exit(ExitCode.NOT_APPLIED)


def _show_prediction(service: str, direction: Direction, preview: Preview) -> None:
    for reason in preview.reasons:
        console.print(f"not now: {reason}", markup=False)
    if preview.prediction is not None:
        console.print(
            f"Writers of {service} will wait about {preview.prediction.usual_ms:g} ms"
            f" ({preview.prediction.unlucky_ms:g} ms in an unlucky case); reads go on."
            f" The {direction.source} side follows afterwards, so this can be undone."
        )


def _show_report(service: str, direction: Direction, report: dict[str, Any]) -> None:
    console.print(f"the {direction.target} database owns the tables of {service}")
    if report["pause_ms"] is not None:
        predicted = report["predicted_ms"]
        said = f", predicted {predicted:g} ms" if predicted is not None else ""
        console.print(f"writers waited {report['pause_ms']:g} ms{said}")
    canary = report["canary"]
    if canary:
        console.print(
            f"canary: {canary['acknowledged']} rows acknowledged, {canary['lost']} lost,"
            f" slowest write {canary['slowest_ms']:g} ms"
        )
    for name in report["late_instances"]:
        console.print(f"{name} has not applied the new placement yet", markup=False)
    back = "rollback" if direction is Direction.FORWARD else "cutover"
    console.print(f"the way back is open: migrate {back} {service}")
