"""The old API and services over one schema, to compare what they answer and what they write."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import httpx
from starlette.types import ASGIApp, Receive, Scope, Send

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
#: Fields that two good answers to the same request may differ in.
_VARYING = frozenset(
    {"message", "detail", "request_id", "id", "created_at", "updated_at", "published_at"}
    | {"url", "image_url", "next_cursor", "join_code", "referral_code", "remaining_quota"}
)
_HEADERS = ("cache-control", "etag", "content-type", "accept-ranges", "content-range")
_OUTBOX = "SELECT type, partition_key, body::text AS body FROM outbox ORDER BY id"


class ByPrefix:
    """Sends each request to the app whose prefix its path has."""

    def __init__(self, apps: Mapping[str, ASGIApp]) -> None:
        self._apps = apps

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        app = next(app for prefix, app in self._apps.items() if path.startswith(prefix))
        await app(scope, receive, send)


@asynccontextmanager
async def client_of(app: ASGIApp) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


def comparable(answer: httpx.Response) -> object:
    """Status, headers and JSON of an answer without what may differ."""
    is_json = answer.headers.get("content-type", "").startswith("application/json")
    body = _steady(answer.json()) if is_json and answer.content else answer.content
    return answer.status_code, body, {name: answer.headers.get(name) for name in _HEADERS}


def _steady(value: object) -> object:
    if isinstance(value, dict):
        return {name: _steady(item) for name, item in value.items() if name not in _VARYING}
    return [_steady(item) for item in value] if isinstance(value, list) else value


async def written(sql: asyncpg.Connection, names: Mapping[str, str], *queries: str) -> list[str]:
    """Events of the outbox and rows of `queries` as text; ids of `names` by name, others alike."""
    found: list[str] = []
    for row in await sql.fetch(_OUTBOX):
        body: dict[str, Any] = json.loads(row["body"])
        steady = {k: v for k, v in body.items() if k not in ("id", "time", "traceparent")}
        found.append(f"{row['type']} {row['partition_key']} {json.dumps(steady, sort_keys=True)}")
    for query in queries:
        found += [f"{query}: {tuple(row)}" for row in await sql.fetch(query)]
    return [_named(text, names) for text in found]


def _named(text: str, names: Mapping[str, str]) -> str:
    for identity, name in names.items():
        text = text.replace(identity, name)
    return _UUID.sub("<some id>", text)
