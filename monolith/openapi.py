"""Completes the generated OpenAPI document: error answers, security, statuses of the contract."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from monolith.calls import Contract
from monolith.gates import CONTRACT

ERROR_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["error", "detail"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "details", "request_id"],
            "properties": {
                "code": {"type": "string"},
                "message": {"type": "string"},
                "details": {"type": "object"},
                "request_id": {"type": "string"},
            },
        },
        "detail": {"anyOf": [{"type": "string"}, {"type": "object"}]},
    },
}
ALWAYS = (404, 405, 429, 500, 503, 504)
SECURED = {"user": "user", "tier1": "user", "service_role": "service"}


def _statuses(contract: Contract) -> list[int]:
    """Error statuses that a route may answer with (contract, 1.6 and 2)."""
    statuses = set(ALWAYS)
    if contract.auth in SECURED:
        statuses |= {401, 403}
    if contract.kind in {"write", "upload", "stream"}:
        statuses |= {400, 401, 402, 403, 409, 413, 415, 422, 502}
    elif contract.kind == "webhook":
        statuses |= {400, 413}
    else:
        statuses |= {400, 422}
    if contract.bucket == "none":
        statuses.discard(429)
    return sorted(statuses)


def complete_document(app: FastAPI) -> None:
    """Replace app.openapi by one that names every answer of every route."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _build(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _build(app: FastAPI) -> dict[str, Any]:
    built = get_openapi(title=app.title, version=app.version, routes=app.routes)
    schemas = built.setdefault("components", {}).setdefault("schemas", {})
    schemas.pop("HTTPValidationError", None)
    schemas.pop("ValidationError", None)
    schemas["Error"] = ERROR_SCHEMA
    built["components"]["securitySchemes"] = {
        name: {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
        for name in ("user", "service")
    }
    for route in app.routes:
        contract = getattr(getattr(route, "endpoint", None), CONTRACT, None)
        if not isinstance(route, APIRoute) or contract is None:
            continue
        operation = built["paths"][route.path_format][contract.method.lower()]
        answers = operation["responses"]
        answers.pop("422", None)
        for status in _statuses(contract):
            if contract.domain == "system" and status == 503:
                continue  # an unhealthy app answers in the shape of a healthy one
            answers[str(status)] = {
                "description": "Error",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
            }
        for status_text in {"416", "502"} & set(answers):
            answers[status_text]["content"] = answers["404"]["content"]
        if contract.auth in SECURED:
            operation["security"] = [{SECURED[contract.auth]: []}]
    return built
