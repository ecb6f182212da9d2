"""`migrate instances list|forget`: the live processes and what they have applied."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from migrate.context import Context, get_context, run
from migrate.report import confirm, console, print_json, print_table
from shared.control.errors import UnknownRouteError
from shared.control.instances import forget_instance, list_instances
from shared.control.model import ControlState, Instance

app = typer.Typer(help="Processes that obey the control store.", no_args_is_help=True)

COLUMNS = ("instance", "kind", "host", "pid", "applied", "state", "in flight", "held")


async def read_instances(context: Context) -> tuple[ControlState, tuple[Instance, ...]]:
    """The current state and every registered instance."""
    async with context.store() as store:
        return await store.state(), await list_instances(store)


def instance_row(row: Instance, version: int) -> tuple[object, ...]:
    """One row of the table of instances."""
    state = "current" if row.applied_version >= version else "behind"
    if not row.is_live:
        state = "lost"
    return (
        row.id,
        row.kind,
        row.host,
        row.pid,
        row.applied_version,
        state,
        row.stats.get("in_flight", ""),
        row.stats.get("held", ""),
    )


@app.command("list")
def list_all(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Every registered process with the version that it has applied."""
    state, rows = run(read_instances(get_context()))
    if as_json:
        print_json({"version": state.version, "instances": [asdict(row) for row in rows]})
        return
    print_table(
        f"Instances, store at version {state.version}",
        COLUMNS,
        (instance_row(row, state.version) for row in rows),
    )


@app.command("forget")
def forget(
    instance: Annotated[str, typer.Argument(help="Id of an instance that is gone for good.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing.")] = False,
) -> None:
    """Remove the row of a process that will not come back; a live one registers again at once."""

    async def remove() -> bool:
        async with get_context().store() as store:
            if dry_run:
                return any(row.id == instance for row in await list_instances(store))
            return await forget_instance(store, instance)

    if not dry_run:
        confirm(f"Forget instance {instance}?", yes=yes)
    if not run(remove()):
        raise UnknownRouteError("instance", instance)
    console.print(f"{'would forget' if dry_run else 'forgot'} {instance}")
