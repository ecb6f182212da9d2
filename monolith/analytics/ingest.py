"""Events that clients report."""

from __future__ import annotations

from datetime import UTC, datetime

from fastapi import Response

from monolith.analytics.models import IngestIn, IngestOut
from monolith.analytics.router import router
from monolith.calls import CurrentCall, reply
from monolith.database import emit
from monolith.values import format_timestamp


@router.route(
    "ingest",
    "POST",
    "/api/analytics/events",
    auth="user",
    kind="write",
    bucket="default",
    answer=IngestOut,
    success=202,
    keyed=True,
)
async def ingest(call: CurrentCall, body: IngestIn) -> Response:
    now = datetime.now(UTC)
    rows = [(e.name, dict(e.properties or {}), e.occurred_at or now) for e in body.events]
    async with call.context.database.transaction() as connection:
        await connection.executemany(
            "INSERT INTO engagement_events (user_id, name, properties, occurred_at)"
            " VALUES ($1, $2, $3, $4)",
            [(call.user_id, *row) for row in rows],
        )
        for name, properties, occurred_at in rows:
            data = {
                "name": name,
                "properties": properties,
                "occurred_at": format_timestamp(occurred_at),
            }
            await emit(
                connection, "user.engagement", call.user_id, data, "analytics", call.request_id
            )
    return reply(IngestOut(accepted=len(rows)), 202)
