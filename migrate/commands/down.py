"""`migrate down`: stops the local stack and leaves nothing running."""

from __future__ import annotations

from typing import Annotated

import typer

from migrate.commands.stack import stack_of
from migrate.context import get_context, run
from migrate.report import confirm, console, print_json


def down(
    wipe: Annotated[bool, typer.Option("--wipe", help="Delete all data of the stack too.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be stopped.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Stop everything that `migrate up` started; the data stays unless --wipe is given."""
    context = get_context()
    stack = stack_of(context)
    running = [state.name for state in run(stack.processes()) if state.is_running]
    if dry_run:
        if as_json:
            print_json({"would_stop": running, "would_delete": wipe})
        else:
            console.print(f"would stop: {', '.join(running) or 'nothing, nothing runs'}")
            console.print(f"would delete: {stack.layout.root}" if wipe else "data would stay")
        return
    if wipe and not as_json:
        confirm(f"Delete all data below {stack.layout.root}?", yes=yes)
    stopped = run(stack.down(wipe=wipe))
    if as_json:
        print_json({"stopped": running, "deleted": wipe})
        return
    console.print(f"stopped {', '.join(running)}" if stopped else "nothing was running")
    if wipe:
        console.print(f"deleted the data below {stack.layout.root}")
