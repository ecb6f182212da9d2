"""The old API declares exactly the routes of the contract, with their marks."""

from __future__ import annotations

import pytest
from fastapi.routing import APIRoute

from monolith.app import build_app
from monolith.calls import Contract
from monolith.front import METHOD_ORDER
from monolith.gates import CONTRACT
from monolith.settings import Settings
from shared.contract.routes import PublicRoute, public_routes

APP = build_app(Settings("postgresql://nobody@127.0.0.1:1/none", ("s" * 32,)))
DECLARED: dict[str, Contract] = {
    contract.name: contract
    for route in APP.router.routes
    if (contract := getattr(getattr(route, "endpoint", None), CONTRACT, None)) is not None
}
ROUTES = public_routes()


def test_every_route_is_there_and_no_other() -> None:
    assert set(DECLARED) == set(ROUTES)


@pytest.mark.parametrize("route", ROUTES.values(), ids=lambda route: route.name)
def test_a_route_has_the_marks_of_the_contract(route: PublicRoute) -> None:
    own = DECLARED[route.name]
    assert (own.method, own.path, own.domain) == (route.method, route.path, route.service)
    assert (own.kind, own.auth, own.bucket) == (route.kind, route.auth, route.bucket)
    assert own.success == route.success
    assert own.keyed == (route.idempotency == "key")


def test_the_openapi_document_names_every_route_with_its_answers() -> None:
    paths = APP.openapi()["paths"]
    operations = {
        (method.upper(), path): operation
        for path, methods in paths.items()
        for method, operation in methods.items()
        if method.upper() in METHOD_ORDER
    }
    wanted = {(r.method, r.path): r for r in ROUTES.values() if r.kind != "websocket"}
    assert set(operations) == set(wanted)
    for key, route in wanted.items():
        answers = operations[key]["responses"]
        assert str(route.success) in answers
        assert {"404", "405", "500", "504"} <= set(answers)
        assert ("429" in answers) == (route.bucket != "none")
        assert ("security" in operations[key]) == (route.auth not in ("public", "signature"))


def test_internal_paths_are_no_part_of_the_document() -> None:
    shown = {route.path for route in APP.router.routes if isinstance(route, APIRoute)}
    assert not shown & {"/healthz", "/readyz", "/metrics"}
