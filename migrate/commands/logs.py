"""`migrate logs`: the log files of the local stack's processes."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from migrate.context import get_context, run
from migrate.report import console
from migrate.stack.errors import StackError
from migrate.stack.layout import Layout
from migrate.stack.logs import follow, tail


def log_files(folder: Path) -> dict[str, Path]:
    """Process name -> its log file, by name."""
    return {path.stem: path for path in sorted(folder.glob("*.log"))}


def logs(
    process: Annotated[str | None, typer.Argument(help="A process; without it, all.")] = None,
    follow_on: Annotated[bool, typer.Option("-f", "--follow", help="Go on until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("-n", "--lines", min=0, help="Last lines to show.")] = 20,
) -> None:
    """Show the end of the logs, of one process or of all, and what is added to them."""
    files = log_files(Layout(get_context().stack_directory.resolve()).root / "logs")
    if process is not None:
        if process not in files:
            close = difflib.get_close_matches(process, files, n=3) or list(files)
            raise StackError(
                f"there is no log of {process}",
                hint=f"there is: {', '.join(close) or 'none; start the stack: migrate up'}",
            )
        files = {process: files[process]}
    for name, path in files.items():
        for line in tail(path, lines).splitlines():
            _show(name, line, alone=len(files) == 1)
    if follow_on:
        run(_follow(files))


async def _follow(files: Mapping[str, Path]) -> None:
    async for name, line in follow(files):
        _show(name, line, alone=len(files) == 1)


def _show(name: str, line: str, *, alone: bool) -> None:
    text = line if alone else f"{name:<20} {line}"
    console.print(text, markup=False, soft_wrap=True)
