"""`migrate up`: the whole system on this machine, in one command."""

from __future__ import annotations

from typing import Annotated

import typer

from migrate.commands.stack import PROCESS_COLUMNS, process_row, stack_of
from migrate.context import get_context, run
from migrate.report import console, print_json, print_table
from migrate.stack.local import LocalStack
from migrate.stack.process import ProcessState


async def _up(stack: LocalStack) -> tuple[bool, tuple[ProcessState, ...]]:
    return await stack.up(), await stack.processes()


def up(
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            metavar="SERVICE",
            help="Run only this service beside monolith and router; may be repeated. It is remembered;"
            " `--only all` takes it back.",
        ),
    ] = None,
    stand_ins: Annotated[
        bool | None,
        typer.Option(
            "--stand-ins/--no-stand-ins",
            help="Run local stand-ins of Stripe, Supabase, the models and all other vendors, and point the"
            " apps at them; remembered.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be started.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Start servers, monolith, services and router under .stack; a second time repairs what is missing."""
    stack = stack_of(get_context(), quiet=as_json)
    if only:
        stack.choose(only)
    if stand_ins is not None:
        stack.replace_vendors(stand_ins=stand_ins)
    if dry_run:
        missing = run(stack.missing())
        if as_json:
            print_json({"would_start": list(missing)})
        else:
            console.print(f"would start: {', '.join(missing) or 'nothing, everything runs'}")
        return
    changed, processes = run(_up(stack))
    if as_json:
        print_json(
            {
                "changed": changed,
                "public_url": stack.state.public_url,
                "setup_seconds": stack.state.setup_seconds,
                "processes": [state.model_dump() for state in processes],
            }
        )
        return
    if not changed:
        console.print("everything runs; nothing to do")
    print_table("Processes", PROCESS_COLUMNS, (process_row(state) for state in processes))
    console.print(f"public address: {stack.state.public_url}")
    console.print("next: migrate status   migrate logs -f   migrate down")
