"""`migrate history`: who changed what, when and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any

import typer

from migrate.context import get_context, run
from migrate.report import print_json, print_table
from shared.control.model import HistoryEntry


def difference(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> str:
    """The fields that differ, as `percent 5 → 25`."""
    old, new = before or {}, after or {}
    keys = [
        key
        for key in new
        if old.get(key) != new.get(key) and key not in {"route", "service", "salt"}
    ]
    if not old:
        return "registered"
    return ", ".join(f"{key} {_short(old.get(key))} → {_short(new.get(key))}" for key in keys)


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, dict):
        return "set"
    return "none" if value in (None, []) else str(value)


def history(
    subject: Annotated[
        str | None, typer.Argument(help="A route, a service (with its routes) or 'phase N'.")
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, max=10_000, help="Newest entries.")
    ] = 30,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Changes, the newest first."""
    context = get_context()

    async def read() -> tuple[HistoryEntry, ...]:
        async with context.store() as store:
            return await store.history(subject=subject, limit=limit)

    entries = run(read())
    if as_json:
        print_json([asdict(entry) for entry in entries])
        return
    print_table(
        f"History of {subject}" if subject else "History",
        ("version", "at", "who", "what", "change", "why"),
        (
            (
                entry.version,
                entry.at.strftime("%Y-%m-%d %H:%M:%S"),
                entry.actor,
                entry.subject,
                difference(entry.before, entry.after),
                entry.reason,
            )
            for entry in entries
        ),
    )
