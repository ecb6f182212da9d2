"""Statements on the tables of the control store, over a connection that the caller owns."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import asyncpg

from shared.control.errors import NotInitializedError
from shared.control.model import ControlState, Flag, Placement
from shared.control.rows import flag_to_json, state_from_parts

#: Longest time a statement of the store may take, in seconds; the tables hold some hundred rows.
STATEMENT_SECONDS = 5.0

#: One statement, so that flags and placements come from one snapshot.
READ_STATE = """
SELECT c.version,
  (SELECT coalesce(jsonb_agg(to_jsonb(f) ORDER BY f.route), '[]') FROM strangler.flags f)::text AS flags,
  (SELECT coalesce(jsonb_agg(to_jsonb(p) ORDER BY p.service), '[]') FROM strangler.placements p)::text AS placements
FROM strangler.control c
"""


async def read_state(connection: asyncpg.Connection[asyncpg.Record]) -> ControlState:
    """One consistent reading over any connection."""
    row = await connection.fetchrow(READ_STATE, timeout=STATEMENT_SECONDS)
    if row is None:
        raise NotInitializedError
    return state_from_parts(row["version"], json.loads(row["flags"]), json.loads(row["placements"]))


@dataclass(frozen=True, slots=True)
class Entry:
    """One history row in the making."""

    kind: str
    subject: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None


async def write_flag(
    connection: asyncpg.Connection[asyncpg.Record], flag: Flag, version: int
) -> None:
    """Insert or replace the row of one flag."""
    await connection.execute(
        "INSERT INTO strangler.flags"
        " (route, service, writes, percent, shadow_percent, salt, allow, deny, mode, hold, version)"
        " VALUES ($1, $2, $3, $4::float8::numeric(5,2), $5::float8::numeric(5,2), $6, $7, $8, $9, $10::text::jsonb,"
        " $11)"
        " ON CONFLICT (route) DO UPDATE SET service = excluded.service, writes = excluded.writes,"
        " percent = excluded.percent, shadow_percent = excluded.shadow_percent, salt = excluded.salt,"
        " allow = excluded.allow, deny = excluded.deny, mode = excluded.mode, hold = excluded.hold,"
        " version = excluded.version, updated_at = clock_timestamp()",
        flag.route,
        flag.service,
        flag.writes,
        flag.percent,
        flag.shadow_percent,
        flag.salt,
        sorted(flag.allow),
        sorted(flag.deny),
        flag.mode,
        dump(asdict(flag.hold)) if flag.hold else None,
        version,
    )


async def write_placement(
    connection: asyncpg.Connection[asyncpg.Record], placement: Placement, version: int
) -> None:
    """Insert or replace the row of one placement."""
    await connection.execute(
        "INSERT INTO strangler.placements (service, state, epoch, version) VALUES ($1, $2, $3, $4)"
        " ON CONFLICT (service) DO UPDATE SET state = excluded.state, epoch = excluded.epoch,"
        " version = excluded.version, updated_at = clock_timestamp()",
        placement.service,
        placement.state.value,
        placement.epoch,
        version,
    )


def dump(value: Mapping[str, Any] | None) -> str | None:
    return None if value is None else json.dumps(value, default=str)


def flag_json(flag: Flag | None) -> dict[str, Any] | None:
    return None if flag is None else flag_to_json(flag)


def placement_json(placement: Placement) -> dict[str, Any]:
    return {"state": placement.state.value, "epoch": placement.epoch}
