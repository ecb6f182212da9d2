"""The API descriptions (OpenAPI) of the old API and of every service agree with the contract."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

from monolith.app import build_app
from shared.contract.answers import ANSWERS, error_statuses
from shared.contract.routes import PublicRoute, public_routes
from tests.contracts.api.world import World, build_service, monolith_settings, present_services

NOWHERE = World(
    "postgresql://nobody@127.0.0.1:1/none",
    "redis://127.0.0.1:1",
    "amqp://127.0.0.1:1",
    Path("none"),
    Path("none"),
)
ROUTES = public_routes()
METHODS = {"get", "post", "put", "patch", "delete"}
APPS = ("monolith", *present_services())


def built(name: str) -> FastAPI:
    if name == "monolith":
        return build_app(monolith_settings(NOWHERE))
    return build_service(name, NOWHERE, "http://127.0.0.1:1")


def routes_of(name: str) -> list[PublicRoute]:
    """Routes that an app answers over plain HTTP."""
    own = {name, "system"} if name == "auth" else {name}
    return [
        route
        for route in ROUTES.values()
        if route.kind != "websocket"
        and (name == "monolith" or route.service in own or route.name == "system.health")
    ]


def shape(schema: Any, document: dict[str, Any]) -> Any:
    """What a schema says about JSON, without titles, formats and names of models."""
    if "$ref" in schema:
        place: Any = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            place = place[part]
        return shape(place, document)
    if "anyOf" in schema:
        return frozenset(shape(option, document) for option in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        values = schema.get("enum") or [schema["const"]]
        if all(isinstance(value, bool) for value in values):
            return "boolean"
        return ("one of", *sorted(map(str, values)))
    kind = schema.get("type")
    if kind == "object" and "properties" in schema:
        fields = schema["properties"].items()
        return ("object", tuple(sorted((key, shape(value, document)) for key, value in fields)))
    if kind == "array":
        return ("array", shape(schema.get("items", {}), document))
    return kind


@pytest.mark.parametrize("name", APPS)
def test_an_app_describes_its_routes_and_no_other(name: str) -> None:
    paths = built(name).openapi()["paths"]
    found = {
        (method.upper(), path)
        for path, operations in paths.items()
        for method in operations
        if method in METHODS
    }
    assert found == {(route.method, route.path) for route in routes_of(name)}


@pytest.mark.parametrize("name", APPS)
def test_every_answer_is_that_of_the_contract(name: str) -> None:
    document = built(name).openapi()
    different = {}
    for route in routes_of(name):
        answer = ANSWERS[route.name]
        responses = document["paths"][route.path][route.method.lower()]["responses"]
        for status, model in {route.success: answer.body, **answer.also}.items():
            if str(status) not in responses:
                different[route.name] = f"{status} is missing"
            elif model is not None:
                said = responses[str(status)]["content"]["application/json"]["schema"]
                wire = model.model_json_schema(mode="serialization")
                if shape(said, document) != shape(wire, wire):
                    different[route.name] = f"{shape(said, document)} is not {shape(wire, wire)}"
    assert different == {}


@pytest.mark.parametrize("name", APPS)
def test_every_error_of_the_contract_is_described(name: str) -> None:
    document = built(name).openapi()
    missing = {}
    for route in routes_of(name):
        responses = document["paths"][route.path][route.method.lower()]["responses"]
        absent = error_statuses(route) - {int(status) for status in responses}
        if absent:
            missing[route.name] = sorted(absent)
        assert responses["500"]["content"]["application/json"]["schema"] == {
            "$ref": "#/components/schemas/Error"
        }
        has_token = route.auth in ("user", "tier1", "service_role")
        operation = document["paths"][route.path][route.method.lower()]
        assert ("security" in operation) == has_token
    assert missing == {}


@pytest.mark.parametrize("name", present_services())
def test_the_handlers_return_the_models_of_the_contract(name: str) -> None:
    """The description is made from the contract; this is what the code says of itself."""
    different = {
        route.name: route.response_model
        for route in built(name).routes
        if isinstance(route, APIRoute)
        and route.response_model is not None
        and route.response_model is not (ANSWERS[route.name].body or route.response_model)
    }
    assert different == {}


def test_the_contract_names_the_answers_of_every_route() -> None:
    assert set(ANSWERS) == set(ROUTES)
