"""The API description (OpenAPI) of a service: the framework's, with the answers of the contract.

It is for tests and clients' generators; no route of the public host gives it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from shared.contract.answers import ANSWERS, JSON, Answer, error_statuses
from shared.contract.routes import PublicRoute, PublicRoutes
from shared.web.endpoints import Endpoint

_REFERENCE = "#/components/schemas/{model}"
_ERROR: dict[str, Any] = {
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
_SCHEMES = {"user": "user", "tier1": "user", "service_role": "service"}


def describe(app: FastAPI, endpoints: Iterable[Endpoint], contract: PublicRoutes) -> None:
    """Make `app.openapi()` give the complete description; it is built when it is first asked for."""
    routes = [endpoint.route for endpoint in endpoints if endpoint.route.name in ANSWERS]

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _build(app, [*routes, contract["system.health"]])
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _build(app: FastAPI, routes: list[PublicRoute]) -> dict[str, Any]:
    built = get_openapi(title=app.title, version=app.version, routes=app.routes)
    components = built.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas |= {"Error": _ERROR}
    references = _add_models(schemas, routes)
    components["securitySchemes"] = {
        name: {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
        for name in ("user", "service")
    }
    for route in routes:
        operation = built["paths"].setdefault(route.path, {}).setdefault(route.method.lower(), {})
        operation["operationId"] = route.name.replace(".", "_")
        operation["responses"] = _responses(route, ANSWERS[route.name], references)
        if route.auth in _SCHEMES:
            operation["security"] = [{_SCHEMES[route.auth]: []}]
        if route.kind == "webhook":
            operation["requestBody"] = {"content": {JSON: {"schema": {"type": "object"}}}}
    return built


def _add_models(
    schemas: dict[str, Any], routes: list[PublicRoute]
) -> dict[type[BaseModel], dict[str, Any]]:
    """Put the schemas of all answers beside those of the requests; returns how to refer to them."""
    models: dict[type[BaseModel], None] = {}
    for route in routes:
        answer = ANSWERS[route.name]
        models |= {model: None for model in (answer.body, *answer.also.values()) if model}
    keys, definitions = models_json_schema(
        [(model, "serialization") for model in models], ref_template=_REFERENCE
    )
    for name, schema in definitions.get("$defs", {}).items():
        schemas.setdefault(name, schema)
    return {
        model: schema
        for (model, _), schema in keys.items()
        if isinstance(model, type) and issubclass(model, BaseModel)
    }


def _responses(
    route: PublicRoute, answer: Answer, references: dict[type[BaseModel], dict[str, Any]]
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    error = {"description": "Error", "content": _json({"$ref": _REFERENCE.format(model="Error")})}
    for status in error_statuses(route):
        found[str(status)] = error
    for status, model in {route.success: answer.body, **answer.also}.items():
        response: dict[str, Any] = {"description": "Success" if status < 400 else "Error"}
        if model is not None:
            response["content"] = _json(references[model])
        elif status in (route.success, 206) and answer.types:
            response["content"] = {kind: {} for kind in answer.types}
        elif status >= 400:
            response = error
        found[str(status)] = response
    return dict(sorted(found.items()))


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {JSON: {"schema": schema}}
