"""`migrate status`: how far the migration has come, and what runs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from migrate.commands.instances import COLUMNS, instance_row
from migrate.commands.stack import PROCESS_COLUMNS, process_row, stack_processes
from migrate.context import Context, get_context, run
from migrate.report import print_json, print_table
from shared.control.instances import list_instances
from shared.control.model import ControlState, Instance, Phase
from shared.manifest import Manifest
from shared.states import traffic_state


def service_rows(manifest: Manifest, state: ControlState) -> list[dict[str, Any]]:
    """Per service: traffic, range of percents, data state and epoch."""
    rows: list[dict[str, Any]] = []
    for name in manifest.services:
        flags = [flag for flag in state.flags.values() if flag.service == name]
        placement = state.placement(name)
        percents = {flag.route: flag.percent for flag in flags}
        shadows = {flag.route: flag.shadow_percent for flag in flags}
        rows.append(
            {
                "service": name,
                "routes": len(flags),
                "traffic": traffic_state(percents, shadows).value,
                "percent_min": min(percents.values(), default=0.0),
                "percent_max": max(percents.values(), default=0.0),
                "held": sum(flag.hold is not None for flag in flags),
                "data": placement.state.value,
                "epoch": placement.epoch,
            }
        )
    return rows


async def _read(context: Context) -> tuple[ControlState, tuple[Instance, ...], tuple[Phase, ...]]:
    async with context.store() as store:
        return await store.state(), await list_instances(store), await store.phases()


def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Services, phases, live instances, and the processes of the local stack."""
    context = get_context()
    manifest = context.manifest
    processes = run(stack_processes(context))
    if processes and not as_json:  # first: a crashed PostgreSQL must be visible here
        print_table("Local stack", PROCESS_COLUMNS, (process_row(row) for row in processes))
    state, instances, phases = run(_read(context))
    rows = service_rows(manifest, state)
    names = {phase.number: phase.name for phase in manifest.phases}
    if as_json:
        print_json(
            {
                "version": state.version,
                "services": rows,
                "phases": [{**asdict(phase), "name": names.get(phase.number)} for phase in phases],
                "instances": [asdict(row) for row in instances],
                "processes": [row.model_dump() for row in processes],
            }
        )
        return
    print_table(
        f"Services at version {state.version}",
        ("service", "routes", "traffic", "percent", "held", "tables", "epoch"),
        (
            (
                row["service"],
                row["routes"],
                row["traffic"],
                _span(row["percent_min"], row["percent_max"]),
                row["held"] or "",
                row["data"],
                row["epoch"],
            )
            for row in rows
        ),
    )
    print_table(
        "Phases",
        ("number", "name", "status"),
        (
            (phase.number, names.get(phase.number, "not in the manifest"), phase.status.value)
            for phase in phases
        ),
    )
    print_table("Instances", COLUMNS, (instance_row(row, state.version) for row in instances))


def _span(low: float, high: float) -> str:
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"
