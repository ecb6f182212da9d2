"""`migrate doctor`: look at a running installation for what would hurt later."""

from __future__ import annotations

from typing import Annotated

import typer

from migrate.context import get_context, run
from migrate.exit_codes import ExitCode
from migrate.report import print_json, print_table


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check secrets, limits, databases, Redis, broker, events and webhook addresses.

    Exit code 1 when something needs a person. Changes nothing.
    """
    # Loads the apps' own kit for their limits, which no other command needs.
    from migrate.doctor.inspection import inspect

    found = run(inspect(get_context()))
    if as_json:
        print_json({"findings": [finding.as_row() for finding in found]})
    else:
        print_table(
            "Findings",
            ("level", "what", "how it is"),
            ((finding.level, finding.subject, finding.message) for finding in found),
        )
    if any(finding.level == "error" for finding in found):
        raise typer.Exit(ExitCode.FAILED)
