"""How a service declares its endpoints: by the name of the public route, nothing else to get wrong."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel

from shared.contract.routes import PublicRoute, PublicRoutes, public_routes
from shared.errors import OperatorError
from shared.web.replies import Reply

F = TypeVar("F", bound=Callable[..., Awaitable[Any]])


class EndpointError(OperatorError):
    """An endpoint is declared in a way that cannot work; raised when the module is imported."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One handler and the public route it serves."""

    route: PublicRoute
    call: Callable[..., Awaitable[Any]]
    cache_seconds: int | None = None
    time_limit_seconds: float | None = None

    @property
    def response_model(self) -> type[BaseModel] | None:
        """The model an endpoint says it returns, for the API description."""
        returned = inspect.signature(self.call, eval_str=True).return_annotation
        if get_origin(returned) is Reply:
            (returned,) = get_args(returned)
        is_model = isinstance(returned, type) and issubclass(returned, BaseModel)
        return returned if is_model else None


class ServiceRouter:
    """Collects the endpoints of one module.

    >>> router = ServiceRouter()
    >>> @router.endpoint("content.movie", cache_seconds=300)
    ... async def movie(title_id: Id, catalogue: Annotated[Catalogue, Depends(catalogue)]) -> Reply[Title]:
    ...     title = await catalogue.movie(title_id)
    ...     return Reply(title.body, etag=weak_etag(title.updated_at))

    Method, path, status, who may call, rate limit, idempotency and body rules come from the contract.
    """

    def __init__(self, routes: PublicRoutes | None = None) -> None:
        self._routes = routes if routes is not None else public_routes()
        self.endpoints: list[Endpoint] = []
        self.sockets: list[Endpoint] = []

    def endpoint(
        self,
        name: str,
        *,
        cache_seconds: int | None = None,
        time_limit_seconds: float | None = None,
    ) -> Callable[[F], F]:
        """Serve the public route `name`. The handler is async and returns a model, a Reply or a Response.

        `cache_seconds` sets `Cache-Control: public, max-age`; the default is `no-store`.
        """

        def declare(call: F) -> F:
            route = self._claim(name, call)
            if route.kind == "websocket":
                raise EndpointError(f"{name} is a WebSocket; declare it with `router.socket`")
            self.endpoints.append(Endpoint(route, call, cache_seconds, time_limit_seconds))
            return call

        return declare

    def socket(self, name: str) -> Callable[[F], F]:
        """Serve the public WebSocket route `name`; the handler takes a `WebSocket`."""

        def declare(call: F) -> F:
            route = self._claim(name, call)
            if route.kind != "websocket":
                raise EndpointError(f"{name} is no WebSocket; declare it with `router.endpoint`")
            self.sockets.append(Endpoint(route, call))
            return call

        return declare

    def _claim(self, name: str, call: object) -> PublicRoute:
        if not inspect.iscoroutinefunction(call):
            raise EndpointError(f"the endpoint of {name} must be an `async def` function")
        route = self._routes.get(name)
        if route is None:
            raise EndpointError(
                f"the contract has no route {name!r}; add it to shared/contract/routes.toml"
            )
        if any(endpoint.route.name == name for endpoint in (*self.endpoints, *self.sockets)):
            raise EndpointError(f"two endpoints claim the route {name}")
        return route
