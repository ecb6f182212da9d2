"""Builds the FastAPI app of a service with everything the public contract asks of every app.

Knows no domain. A service is its routers, a lifespan hook for what it opens, and this call:

    router = ServiceRouter()

    @router.endpoint("content.movie", cache_seconds=300)
    async def movie(title_id: Id, catalogue: Annotated[Catalogue, Depends(get_catalogue)]) -> Reply[Title]:
        row = await catalogue.movie(title_id)          # raises not_found("title")
        return Reply(row.to_wire(), etag=weak_etag(row.updated_at))

    @asynccontextmanager
    async def open_catalogue(app: FastAPI) -> AsyncIterator[None]:
        async with Catalogue.open(app.state.platform.settings) as catalogue:
            app.state.catalogue = catalogue
            app.state.health.add("index", catalogue.is_loaded, required=True)
            yield

    def build(settings: AppSettings) -> FastAPI:
        return create_service_app("content", settings=settings, routers=[router],
                                  lifespan=[open_catalogue])

    if __name__ == "__main__":
        sys.exit(run_service(AppSettings, build, port=8002))

The endpoint names a route of shared/contract/routes.toml; from there come method, path, success
status, who may call, rate limit, idempotency and body rules. Handlers get validated fields, raise
errors of `shared.errors`, and return a wire model, a `Reply` or a Starlette `Response`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIWebSocketRoute
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from shared.auth.admission import TokenAdmission
from shared.auth.issuers import verifier_of
from shared.auth.verifier import TokenVerifier
from shared.contract.routes import PublicRoutes, public_routes
from shared.settings import AppSettings
from shared.web import health
from shared.web.context import context_of
from shared.web.description import describe
from shared.web.edge import Edge
from shared.web.endpoints import EndpointError, ServiceRouter
from shared.web.error_responses import error_response
from shared.web.front_door import FrontDoor
from shared.web.gate import Gate, finished_endpoint, guarded_route, refuse_plain_dependencies
from shared.web.maintenance import MaintenanceModes
from shared.web.path_index import PathIndex
from shared.web.platform import open_platform
from shared.web.probes import broker_check, database_check, redis_check
from shared.web.streams import StreamTasks

LifespanHook = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def create_service_app(
    name: str,
    *,
    settings: AppSettings,
    routers: Sequence[ServiceRouter],
    lifespan: Sequence[LifespanHook] = (),
    contract: PublicRoutes | None = None,
) -> FastAPI:
    """The app of the service `name`.

    `lifespan` hooks are entered in order after `app.state.platform` (Platform) and
    `app.state.health` (HealthBoard) exist, and left in reverse order at stop. Keys and secrets are
    built here: an app with a bad one does not start.
    """
    maintenance = MaintenanceModes()
    app = FastAPI(
        title=name,
        version=settings.git_rev,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,  # not part of the contract; `app.openapi()` still describes it
        redirect_slashes=False,
        lifespan=_lifespan(name, settings, maintenance, verifier_of(settings), lifespan),
        exception_handlers={
            HTTPException: _answer_framework_error,
            RequestValidationError: _answer_framework_error,
        },
        middleware=_middleware(name, settings, routers, maintenance, contract or public_routes()),
    )
    _add_endpoints(app, routers)
    endpoints = [endpoint for router in routers for endpoint in router.endpoints]
    describe(app, endpoints, contract or public_routes())
    return app


def _middleware(
    name: str,
    settings: AppSettings,
    routers: Sequence[ServiceRouter],
    maintenance: MaintenanceModes,
    contract: PublicRoutes,
) -> list[Middleware]:
    declared = [
        endpoint.route for router in routers for endpoint in (*router.endpoints, *router.sockets)
    ]
    index = PathIndex(
        [*declared, contract["system.health"]],
        internal=health.INTERNAL_PATHS,
        aliases=contract.aliases,
    )
    return [
        Middleware(Edge, service=name, allowed_origins=settings.allowed_origins),
        Middleware(
            FrontDoor,
            index=index,
            maintenance=maintenance,
            allowed_origins=settings.allowed_origins,
        ),
    ]


def _add_endpoints(app: FastAPI, routers: Sequence[ServiceRouter]) -> None:
    seen: set[str] = set()
    for router in routers:
        for endpoint in (*router.endpoints, *router.sockets):
            if endpoint.route.name in seen:
                raise EndpointError(f"two endpoints claim the route {endpoint.route.name}")
            seen.add(endpoint.route.name)
        for endpoint in router.endpoints:
            app.router.add_api_route(
                endpoint.route.path,
                finished_endpoint(endpoint),
                methods=[endpoint.route.method],
                name=endpoint.route.name,
                status_code=endpoint.route.success,
                response_model=endpoint.response_model,
                route_class_override=guarded_route(endpoint),
            )
            refuse_plain_dependencies(app.router.routes[-1])
        for socket in router.sockets:
            app.router.routes.append(
                APIWebSocketRoute(socket.route.path, socket.call, name=socket.route.name)
            )
    for path, handler in (
        ("/health", health.health),
        ("/healthz", health.healthz),
        ("/readyz", health.readyz),
        ("/metrics", health.metrics),
    ):
        app.router.routes.append(Route(path, handler, methods=["GET"]))


def _lifespan(
    name: str,
    settings: AppSettings,
    maintenance: MaintenanceModes,
    verifier: TokenVerifier,
    hooks: Sequence[LifespanHook],
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def run(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            platform = await stack.enter_async_context(open_platform(name, settings, maintenance))
            app.state.platform = platform
            app.state.health = health.HealthBoard(
                name,
                settings.git_rev,
                {
                    "database": database_check(platform.pool),
                    "redis": redis_check(platform.redis),
                    "broker": broker_check(settings.rabbitmq_url.get_secret_value()),
                },
            )
            app.state.admission = TokenAdmission(verifier, platform.accounts, platform.tiers)
            app.state.gate = Gate(platform.limiter, app.state.admission)
            app.state.streams = StreamTasks()
            app.state.health.on_drain(app.state.streams.begin_drain)
            for hook in hooks:
                await stack.enter_async_context(hook(app))
            stack.push_async_callback(app.state.streams.close)  # before the hooks close their pools
            yield

    return run


async def _answer_framework_error(request: Request, error: Exception) -> Response:
    return error_response(error, context_of(request.scope))
