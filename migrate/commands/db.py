"""The `migrate db` group: one function per verb, mounted by the root of the command."""

from __future__ import annotations

import typer

from migrate.commands import db_end, db_inspect, db_rehearse, db_split, db_status, db_verify

app = typer.Typer(help="Tables: schema, split, verification.", no_args_is_help=True)
app.command("inspect")(db_inspect.inspect_database)
app.command("split")(db_split.split)
app.command("verify")(db_verify.verify_tables)
app.command("status")(db_status.db_status)
app.command("rehearse")(db_rehearse.rehearse)
app.command("clean")(db_end.clean_keys)
app.command("finalize")(db_end.finalize)
app.command("abort")(db_end.abort)
