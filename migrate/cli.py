"""The root of the command: global options, the list of subcommands, and errors to exit codes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from migrate.commands import (
    cutover,
    db,
    db_migrate,
    demo,
    deploy,
    doctor,
    dokku,
    down,
    events,
    explain,
    flag,
    history,
    init,
    instances,
    logs,
    phase,
    rollback,
    seed,
    status,
    top,
    up,
    url,
    webhooks,
)
from migrate.context import Context, set_context
from migrate.exit_codes import ExitCode, exit_code
from migrate.report import print_error
from shared.errors import StranglerError

app = typer.Typer(
    name="migrate",
    help="Move a monolith to services, route by route and table by table, and back.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    epilog="Exit codes: 0 done · 1 failed · 2 usage, or differences in a plan · 3 refused, nothing"
    " changed · 4 a server does not answer · 5 not applied everywhere in time · 6 busy ·"
    " 7 invalid manifest or argument · 130 interrupted",
)
app.add_typer(flag.app, name="flag")
app.add_typer(instances.app, name="instances")
db.app.command("migrate")(db_migrate.migrate_schemas)
app.add_typer(db.app, name="db")
app.command("cutover")(cutover.cutover)
app.command("rollback")(rollback.rollback)
app.add_typer(events.app, name="events")
app.add_typer(webhooks.app, name="webhooks")
app.add_typer(dokku.app, name="dokku")
app.command("deploy")(deploy.deploy)
app.add_typer(phase.app, name="phase")
app.command("init")(init.init)
app.command("up")(up.up)
app.command("down")(down.down)
app.command("logs")(logs.logs)
app.command("demo")(demo.demo)
app.command("url")(url.url)
app.command("status")(status.status)
app.command("top")(top.top)
app.command("doctor")(doctor.doctor)
app.command("seed")(seed.seed)
app.command("history")(history.history)
app.command("explain")(explain.explain_request)


@app.callback()
def root(
    manifest: Annotated[
        Path, typer.Option("--manifest", envvar="MANIFEST", help="The manifest file.")
    ] = Path("migration.toml"),
    stack_directory: Annotated[
        Path,
        typer.Option(
            "--stack", envvar="STACK_DIRECTORY", help="Where the local stack keeps its files."
        ),
    ] = Path(".stack"),
) -> None:
    """Build the context of this run."""
    set_context(Context(manifest, stack_directory))


def main() -> None:
    """Entry point: like Typer's, with errors turned into one line and an exit code."""
    try:
        outcome = app(standalone_mode=False)
    except typer.Abort:
        print_error("aborted; nothing was changed")
        sys.exit(ExitCode.FAILED)
    except typer.TyperException as error:
        _show_usage(error)
        sys.exit(ExitCode.USAGE)
    except StranglerError as error:
        print_error(error.message)
        sys.exit(exit_code(error))
    except KeyboardInterrupt:
        print_error("interrupted; run the same command again to continue")
        sys.exit(ExitCode.INTERRUPTED)
    sys.exit(outcome if isinstance(outcome, int) else ExitCode.OK)


def _show_usage(error: typer.TyperException) -> None:
    """Usage errors know how to print themselves, with the usage line of their command."""
    show = getattr(error, "show", None)
    if callable(show):
        show()
    else:
        print_error(str(error))


if __name__ == "__main__":
    main()
