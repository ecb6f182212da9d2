"""`migrate rollback SERVICE`: the shared database owns the tables again, nothing is lost."""

from __future__ import annotations

from migrate.commands.cutover import (
    Direct,
    GateSeconds,
    HoldSeconds,
    MaxPause,
    switch_owner,
)
from migrate.commands.split_session import AsJson, DryRun, Service, Yes
from migrate.split.names import Direction


def rollback(
    service: Service,
    direct: Direct = False,
    hold_seconds: HoldSeconds = None,
    max_pause_ms: MaxPause = 150.0,
    gate_seconds: GateSeconds = 60.0,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    yes: Yes = False,
) -> None:
    """Give the tables back to the shared database, which has followed; as often as wanted."""
    switch_owner(
        service, Direction.REVERSE, direct=direct, hold_seconds=hold_seconds, max_pause_ms=max_pause_ms,
        gate_seconds=gate_seconds, verified=False, dry_run=dry_run, as_json=as_json, yes=yes,
    )  # fmt: skip
