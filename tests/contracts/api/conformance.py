"""Looks at every answer that any test of the suite gets: status, model, error shape of the contract."""

from __future__ import annotations

import httpx
from pydantic import TypeAdapter

from shared.contract.answers import ANSWERS, JSON, statuses
from shared.contract.routes import PublicRoute, public_routes
from shared.errors import HTTP_STATUS, Code
from shared.routing.from_manifest import route_table
from tests.contracts.api.world import MANIFEST

TABLE = route_table(MANIFEST)
ROUTES = public_routes()
ERROR_KEYS = {"code", "message", "details", "request_id"}


async def conform(answer: httpx.Response) -> None:
    """AssertionError when an answer is not one that the contract allows its route."""
    if answer.headers.get("content-type", "").startswith("text/event-stream"):
        return  # read by its test, event by event
    await answer.aread()
    assert answer.headers["x-request-id"]
    if answer.request.method in ("HEAD", "OPTIONS"):
        return
    found = TABLE.match(answer.request.method, answer.request.url.path)
    if found is not None and found.allows_method:
        _look_at(answer, ROUTES[found.route.name])
    if answer.status_code >= 400 and answer.request.url.path.startswith("/api/"):
        _look_at_error(answer)


def _look_at(answer: httpx.Response, route: PublicRoute) -> None:
    assert answer.status_code in statuses(route) | {503}, f"{route.name}: {answer.status_code}"
    expected = ANSWERS[route.name]
    model = expected.body if answer.status_code == route.success else None
    model = model or expected.also.get(answer.status_code)
    if model is not None:
        assert answer.headers["content-type"] == JSON
        TypeAdapter(model).validate_json(answer.content)
    elif answer.status_code == route.success and not expected.types:
        assert answer.content == b""


def _look_at_error(answer: httpx.Response) -> None:
    body = answer.json()
    assert set(body) == {"error", "detail"}
    assert set(body["error"]) == ERROR_KEYS
    if answer.status_code != 416:  # which has no code of its own
        assert HTTP_STATUS[Code(body["error"]["code"])] == answer.status_code
    assert isinstance(body["error"]["details"], dict)
