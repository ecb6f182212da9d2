"""Who acts in a user's name (Clerk `act`) may not change what the user pays."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from shared.auth.admission import refuse_impersonation
from shared.auth.principal import Principal
from shared.contract.routes import PublicRoute, public_routes
from shared.errors import CallerError, Code

ROUTES = public_routes()
SUPPORT = Principal(
    role="authenticated",
    issuer="clerk",
    subject="user_1",
    expires_at=2**40,
    impersonator="user_support",
)
PAYING = [
    route
    for route in ROUTES.values()
    if route.auth in ("user", "tier1")
    and (route.name == "auth.delete_me" or (route.service == "payments" and route.kind == "write"))
]


@pytest.mark.parametrize("route", PAYING, ids=lambda route: route.name)
def test_every_route_that_changes_billing_refuses_an_impersonated_session(
    route: PublicRoute,
) -> None:
    with capture_logs() as logs, pytest.raises(CallerError) as caught:
        refuse_impersonation(route, SUPPORT)
    assert caught.value.code is Code.FORBIDDEN
    assert (logs[0]["impersonator"], logs[0]["subject"], logs[0]["refused"]) == (
        "user_support", "user_1", True,
    )  # fmt: skip


def test_support_may_look_and_write_elsewhere_and_that_is_logged() -> None:
    allowed = [ROUTES[name] for name in ("payments.subscription", "chat.talk", "auth.me")]
    with capture_logs() as logs:
        for route in allowed:
            refuse_impersonation(route, SUPPORT)
    assert [line["refused"] for line in logs] == [False] * 3


def test_nobody_else_is_held_up() -> None:
    own = Principal(role="authenticated", issuer="clerk", subject="user_1", expires_at=2**40)
    with capture_logs() as logs:
        for route in PAYING:
            refuse_impersonation(route, own)
    assert logs == []
    assert {route.name for route in PAYING} >= {"payments.checkout", "payments.cancel"}
