"""Builds the context of a split from manifest and environment, and shows what it does while it runs."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, Self

import typer
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as Bars

from migrate.context import Context, get_context
from migrate.report import console, errors
from migrate.split.context import SplitContext
from migrate.split.desk import Desk
from migrate.split.model import Endpoint, Limits
from migrate.split.names import Side, TableName
from migrate.split.setup import split_spec
from migrate.steps import Boundary, Progress, StepEvent

Service = Annotated[str, typer.Argument(metavar="SERVICE", help="A service whose tables move.")]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print JSON; progress goes to stderr, a line each.")
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run", help="Only show the steps, where both sides stand and what speaks against it."
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")]
Backups = Annotated[
    Path, typer.Option("--backups", envvar="BACKUP_DIRECTORY", help="Where backups are written.")
]
TrustBackup = Annotated[
    bool, typer.Option("--trust-backup", help="Do not restore the backup into a scratch database.")
]
BACKUPS = Path(".backups")

#: Nothing is printed between these steps: the terminal must not make writers wait.
QUIET_FROM, QUIET_TO = "lock", "place"


@dataclass
class View:
    """Collects what an operation tells, and prints it between its urgent moments."""

    as_json: bool
    events: deque[StepEvent | Progress] = field(default_factory=deque)
    _bars: Bars | None = None
    _tasks: dict[str, TaskID] = field(default_factory=dict)
    _printer: asyncio.Task[None] | None = None
    _is_quiet: bool = False

    def observe(self, event: StepEvent | Progress) -> None:
        """The observer: only remembers."""
        self.events.append(event)
        if isinstance(event, StepEvent):
            if event.step == QUIET_FROM and event.boundary is Boundary.STARTED:
                self._is_quiet = True
            elif event.step == QUIET_TO or event.boundary is Boundary.FAILED:
                self._is_quiet = False

    async def __aenter__(self) -> Self:
        if not self.as_json and sys.stderr.isatty():
            self._bars = Bars(
                TextColumn("{task.description:<22}"),
                BarColumn(),
                TextColumn("{task.fields[figures]}"),
                console=errors,
                transient=True,
            )
            self._bars.start()
        self._printer = asyncio.create_task(self._print_now_and_then())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._printer is not None:
            self._printer.cancel()
            with suppress(asyncio.CancelledError):
                await self._printer
        self._flush()
        if self._bars is not None:
            self._bars.stop()

    async def _print_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(0.1)
            if not self._is_quiet:
                self._flush()

    def _flush(self) -> None:
        while self.events:
            event = self.events.popleft()
            if isinstance(event, Progress):
                self._show_progress(event)
            else:
                self._show_step(event)

    def _show_step(self, event: StepEvent) -> None:
        if self.as_json:
            _line({"type": "step", "step": event.step, "boundary": event.boundary,
                   "detail": event.detail, "seconds": round(event.seconds, 4)})  # fmt: skip
            return
        if event.step in self._tasks and self._bars is not None:
            self._bars.remove_task(self._tasks.pop(event.step))
        marks = {
            Boundary.APPLIED: "[green]done[/]   ",
            Boundary.SKIPPED: "[dim]there[/]  ",
            Boundary.FAILED: "[red]failed[/] ",
            Boundary.UNDONE: "[yellow]undone[/] ",
        }
        if event.boundary in marks:
            seconds = f" [dim]{event.seconds * 1000:,.0f} ms[/]" if event.seconds else ""
            console.print(f"  {marks[event.boundary]} {event.title}{seconds}")

    def _show_progress(self, event: Progress) -> None:
        if self.as_json:
            _line(event.as_json())
            return
        if self._bars is None:
            return
        if event.step not in self._tasks:
            self._tasks[event.step] = self._bars.add_task(event.step, total=1.0, figures="")
        self._bars.update(
            self._tasks[event.step],
            description=f"{event.step} {event.item}"[:40],
            completed=event.fraction or 0.0,
            figures=figures(event),
        )


def figures(event: Progress) -> str:
    """Rows, bytes, rate, time left and lag of one piece of work."""
    parts = []
    if event.done_rows:
        total = f" of {event.total_rows:,}" if event.total_rows else ""
        parts.append(f"{event.done_rows:,}{total} rows, {event.rows_per_second:,.0f}/s")
    if event.total_bytes:
        parts.append(f"{event.done_bytes / 1e6:,.0f} of {event.total_bytes / 1e6:,.0f} MB")
    if event.eta_seconds is not None and event.eta_seconds > 1.0:
        parts.append(f"{event.eta_seconds:,.0f} s left")
    if event.lag_bytes is not None:
        parts.append(f"lag {event.lag_bytes / 1e6:,.1f} MB")
    if event.note:
        parts.append(event.note)
    return " · ".join(parts)


def _line(data: dict[str, Any]) -> None:
    sys.stderr.write(json.dumps(data) + "\n")


def own_endpoint(context: Context, service: str) -> Endpoint:
    """The service's own database; DATABASE_URL_<SERVICE>, for the other server DATABASE_PEER_URL_<SERVICE>."""
    name = service.upper()
    dsn = context.require(f"DATABASE_URL_{name}", f"the own database of {service}")
    return Endpoint(Side.OWN, dsn, context.setting(f"DATABASE_PEER_URL_{name}") or "")


def neighbours_of(context: Context, service: str) -> dict[TableName, Endpoint]:
    """Tables of other services that move -> their own databases, as far as the environment names them."""
    return {
        TableName.parse(table): own_endpoint(context, entry.name)
        for entry in context.manifest.moving_services()
        if entry.name != service and context.setting(f"DATABASE_URL_{entry.name.upper()}")
        for table in entry.tables
    }


def shared_endpoint(context: Context) -> Endpoint:
    """The shared database; SHARED_DATABASE_URL, for the other server SHARED_DATABASE_PEER_URL."""
    return Endpoint(
        Side.SHARED, context.shared_dsn, context.setting("SHARED_DATABASE_PEER_URL") or ""
    )


@asynccontextmanager
async def open_split(
    service: str, *, view: View, limits: Limits | None = None
) -> AsyncIterator[SplitContext]:
    """The context of one service's split, while the block runs."""
    context = get_context()
    spec = split_spec(context.manifest, service)
    async with context.store() as store:
        split = await SplitContext.open(
            spec,
            shared_endpoint(context),
            own_endpoint(context, service),
            limits=limits,
            observer=view.observe,
            desk=Desk(store, service, context.actor),
            neighbours=neighbours_of(context, service),
        )
        try:
            async with view:
                yield split
        finally:
            await split.close()


def is_interactive() -> bool:
    """Whether a person can be asked."""
    return sys.stdin.isatty() and os.environ.get("CI", "") == ""
