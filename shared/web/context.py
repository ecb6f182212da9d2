"""What the middlewares know about one request; built once at the edge, read by everything inside."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from starlette.requests import HTTPConnection
from starlette.types import Scope

from shared.contract.routes import PublicRoute

if TYPE_CHECKING:
    from shared.auth.principal import Principal

CONTEXT_KEY = "strangler.context"


@dataclass(slots=True)
class RequestContext:
    """Facts about one request. Filled in order: edge, front door, gate."""

    request_id: str
    address: str
    is_shadow: bool = False
    path: str = ""  # as the client sent it, before aliases
    route: PublicRoute | None = None
    principal: Principal | None = None
    extra_headers: list[tuple[bytes, bytes]] = field(default_factory=list)

    @property
    def domain(self) -> str | None:
        return self.route.service if self.route else None


def context_of(scope: Scope) -> RequestContext:
    """The context of a scope; an error when the edge middleware is missing."""
    context = scope.get(CONTEXT_KEY)
    if not isinstance(context, RequestContext):
        raise RuntimeError("the app was not built by create_service_app: no request context")  # noqa: TRY004
    return context


def request_context(connection: HTTPConnection) -> RequestContext:
    """FastAPI dependency: `context: Annotated[RequestContext, Depends(request_context)]`."""
    return context_of(connection.scope)
