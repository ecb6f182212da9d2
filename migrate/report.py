"""What commands print: tables for people, JSON for programs, errors on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

#: Width of tables where the output is no terminal, in columns.
PLAIN_WIDTH = 140

console = Console(highlight=False, width=None if sys.stdout.isatty() else PLAIN_WIDTH)
errors = Console(stderr=True, highlight=False)


def print_json(data: object) -> None:
    """One JSON document on stdout; times as ISO 8601, sets as sorted lists."""
    sys.stdout.write(json.dumps(data, indent=2, default=_plain, ensure_ascii=False) + "\n")


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A table; cells are turned into text, None into an empty cell."""
    table = Table(
        title=title or None, title_justify="left", header_style="bold", box=box.SIMPLE_HEAD
    )
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*("" if cell is None else str(cell) for cell in row))
    console.print(table)


def print_error(message: str) -> None:
    """A failure, in plain text whatever it contains."""
    errors.print("error:", style="bold red", end=" ")
    errors.print(message, markup=False, soft_wrap=True)


def confirm(question: str, *, yes: bool) -> None:
    """Ask a person; without a terminal nothing is asked, because --yes or the lack of it was said.

    Raises typer.Abort on no.
    """
    if yes or not sys.stdin.isatty():
        return
    typer.confirm(question, abort=True)


def _plain(value: object) -> object:
    if isinstance(value, set | frozenset):
        return sorted(value)
    isoformat = getattr(value, "isoformat", None)
    return isoformat() if callable(isoformat) else str(value)
