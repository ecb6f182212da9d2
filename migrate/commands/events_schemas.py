"""`migrate events schemas list|check|release`: may a changed schema still be read by old consumers?"""

from __future__ import annotations

from typing import Annotated

import typer

from migrate.report import console, print_json, print_table
from shared.errors import OperatorError
from shared.events.catalogue import shipped_catalogue, split_name
from shared.events.compatibility import (
    breaking_changes,
    read_released,
    unreleased,
    write_released,
)

app = typer.Typer(help="Schemas of the event types.", no_args_is_help=True)


class BreakingChangeError(OperatorError):
    """A schema changed in a way that consumers of the released one cannot read."""

    exit_code = 3

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__(
            "\n".join(
                [
                    "a change that needs a new version (copy <type>.v1.json to <type>.v2.json):",
                    *problems,
                ]
            )
        )
        self.problems = problems


@app.command("list")
def list_schemas(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Every event type with its versions and fields."""
    schemas = shipped_catalogue().schemas
    rows = [
        (*split_name(name), ", ".join(schema.get("properties", {})), schema.get("description", ""))
        for name, schema in schemas.items()
    ]
    if as_json:
        print_json({name: dict(schema) for name, schema in schemas.items()})
        return
    print_table("Event types", ("type", "version", "data", "meaning"), rows)


@app.command("check")
def check() -> None:
    """Fail on a breaking change; name what is not released yet."""
    released, current = read_released(), shipped_catalogue().schemas
    if problems := breaking_changes(released, current):
        raise BreakingChangeError(problems)
    waiting = unreleased(released, current)
    for name in waiting:
        console.print(f"{name}: not released; run `migrate events schemas release`")
    console.print(f"{len(current)} schemas, nothing breaks")
    if waiting:
        raise typer.Exit(2)


@app.command("release")
def release() -> None:
    """Make the current schemas the released ones, unless a change breaks."""
    released, current = read_released(), shipped_catalogue().schemas
    if problems := breaking_changes(released, current):
        raise BreakingChangeError(problems)
    write_released(current)
    console.print(f"released {len(unreleased(released, current))} new or changed schema(s)")
