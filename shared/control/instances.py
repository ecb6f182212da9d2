"""The registry of live processes: each says which version of the control store it has applied."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from shared.control.model import Instance
from shared.control.store import CHANNEL, ControlStore
from shared.control.tables import STATEMENT_SECONDS

#: Channel that an instance notifies after it has applied a version.
APPLIED_CHANNEL = "strangler_applied"
#: What a notification of the control store says when nothing has changed and a report is wanted.
REPORT_NOW = "report"
#: An instance reports at least this often, in seconds, and at once after each applied version.
HEARTBEAT_SECONDS = 1.0
#: Without a report for this long an instance counts as gone: ten missed heartbeats.
LIVE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class InstanceInfo:
    """Who an instance is. `id` is stable over restarts, so that a restarted process takes its row over."""

    id: str
    kind: str  # router | service | worker
    name: str
    host: str
    pid: int


async def report(
    connection: asyncpg.Connection[asyncpg.Record],
    info: InstanceInfo,
    version: int,
    stats: Mapping[str, Any],
) -> None:
    """Write one heartbeat and tell waiting barriers; `applied_at` moves only with the version."""
    await connection.execute(
        "INSERT INTO strangler.instances (id, kind, name, host, pid, applied_version, stats)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7::text::jsonb)"
        " ON CONFLICT (id) DO UPDATE SET kind = excluded.kind, name = excluded.name,"
        " host = excluded.host, seen_at = clock_timestamp(), stats = excluded.stats,"
        " started_at = CASE WHEN instances.pid = excluded.pid THEN instances.started_at"
        " ELSE clock_timestamp() END, pid = excluded.pid,"
        " applied_at = CASE WHEN instances.applied_version = excluded.applied_version"
        " THEN instances.applied_at ELSE clock_timestamp() END,"
        " applied_version = excluded.applied_version",
        info.id,
        info.kind,
        info.name,
        info.host,
        info.pid,
        version,
        json.dumps(stats, default=str),
        timeout=STATEMENT_SECONDS,
    )
    await connection.execute(
        "SELECT pg_notify($1, $2)", APPLIED_CHANNEL, str(version), timeout=STATEMENT_SECONDS
    )


async def sign_off(connection: asyncpg.Connection[asyncpg.Record], instance_id: str) -> None:
    """Remove the row of an instance that stops on purpose."""
    await connection.execute(
        "DELETE FROM strangler.instances WHERE id = $1", instance_id, timeout=STATEMENT_SECONDS
    )


async def list_instances(store: ControlStore, *, kind: str | None = None) -> tuple[Instance, ...]:
    """Every registered instance by id; `is_live` says whether it reported lately."""
    async with store.connection() as connection:
        rows = await connection.fetch(
            "SELECT id, kind, name, host, pid, started_at, seen_at, applied_version, applied_at,"
            " stats::text AS stats, seen_at > clock_timestamp() - make_interval(secs => $2) AS is_live"
            " FROM strangler.instances WHERE $1::text IS NULL OR kind = $1 ORDER BY id",
            kind,
            LIVE_SECONDS,
        )
    return tuple(Instance(**{**dict(row), "stats": json.loads(row["stats"])}) for row in rows)


async def ask_for_reports(store: ControlStore) -> datetime:
    """Let every live instance report now; reports `seen_at` or after the returned moment are answers."""
    async with store.connection() as connection:
        asked: datetime = await connection.fetchval(
            "SELECT clock_timestamp() FROM pg_notify($1, $2)", CHANNEL, REPORT_NOW
        )
    return asked


async def forget_instance(store: ControlStore, instance_id: str) -> bool:
    """Remove an instance that is gone for good; False when there is no such row."""
    async with store.connection() as connection:
        outcome = await connection.execute(
            "DELETE FROM strangler.instances WHERE id = $1", instance_id
        )
    return outcome.endswith(" 1")
