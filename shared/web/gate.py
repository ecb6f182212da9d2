"""The checks of one matched request, in the contract's order (1.5), around the framework's own handler.

token -> role -> rate limit -> tier -> content type, size, JSON -> fields -> idempotency -> endpoint.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from typing import Annotated, Any, Protocol

from fastapi import Depends
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from shared.auth.principal import Principal
from shared.contract.routes import PublicRoute
from shared.errors import CallerError, Code
from shared.ratelimit.buckets import COUNTED_PER
from shared.ratelimit.limiter import RateLimiter
from shared.web.bodies import read_body
from shared.web.context import RequestContext, context_of
from shared.web.endpoints import Endpoint, EndpointError
from shared.web.replay import answer_once
from shared.web.replies import to_response

READ_WRITE_SECONDS = 10.0  # contract, 1.17
GENERATE_SECONDS = 55.0  # contract, 1.17: below the 60 s of common front proxies
_HIDDEN_PARAMETER = "request_of_the_gate"


class Admission(Protocol):
    """Decides who may call; implemented by `shared.auth`."""

    async def admit(self, route: PublicRoute, authorization: str | None) -> Principal | None:
        """Who calls, as far as the route needs to know. Raises the 401 and 403 of the contract."""
        ...

    async def require_tier(self, principal: Principal, required: int) -> None:
        """Raises 402 INSUFFICIENT_TIER, never from a cached tier."""
        ...


class Gate:
    """Lets requests through to endpoints, or refuses them."""

    def __init__(self, limiter: RateLimiter, admission: Admission) -> None:
        self._limiter = limiter
        self._admission = admission

    async def enter(self, request: Request, route: PublicRoute) -> Request:
        """The request with its body read, or the first refusal that applies."""
        context = context_of(request.scope)
        if context.is_shadow and route.kind != "read":
            raise CallerError(Code.MALFORMED_REQUEST, "A copy must not write")  # contract, 1.2
        context.principal = await self._admission.admit(route, request.headers.get("authorization"))
        await self._count(route, context)
        if route.auth == "tier1" and context.principal is not None:
            await self._admission.require_tier(context.principal, 1)
        return await read_body(request, route)

    async def _count(self, route: PublicRoute, context: RequestContext) -> None:
        if context.is_shadow or route.bucket not in COUNTED_PER:
            return
        decision = await self._limiter.count(route.bucket, _subject(route, context))
        if decision is None:
            return
        context.extra_headers.extend(decision.headers())
        if not decision.is_allowed:
            raise CallerError(
                Code.RATE_LIMITED,
                "Too many requests",
                details={"bucket": decision.bucket, "retry_after": decision.retry_after},
            )


def guarded_route(endpoint: Endpoint) -> type[APIRoute]:
    """The route class of one endpoint: the framework's, behind the gate."""

    class GuardedRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            inner = super().get_route_handler()

            async def handle(request: Request) -> Response:
                gate: Gate = request.app.state.gate
                return await inner(await gate.enter(request, endpoint.route))

            return handle

    return GuardedRoute


def finished_endpoint(endpoint: Endpoint) -> Callable[..., Awaitable[Response]]:
    """The endpoint as the framework calls it once the fields are accepted.

    Adds what comes after the fields: idempotency, the time limit, and the answer's form.
    """
    signature = inspect.signature(endpoint.call, eval_str=True)

    @functools.wraps(endpoint.call)
    async def call(**arguments: Any) -> Response:
        request: Request = arguments.pop(_HIDDEN_PARAMETER)

        async def produce() -> Response:
            result = await _within_time(endpoint, endpoint.call(**arguments))
            return to_response(
                result,
                success=endpoint.route.success,
                if_none_match=request.headers.get("if-none-match"),
                cache_seconds=endpoint.cache_seconds,
            )

        return await answer_once(request, endpoint.route, produce)

    hidden = inspect.Parameter(
        _HIDDEN_PARAMETER,
        inspect.Parameter.KEYWORD_ONLY,
        annotation=Annotated[Request, Depends(_same_request)],  # the endpoint may ask for it too
    )
    call.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*signature.parameters.values(), hidden], return_annotation=Response
    )
    return call


def refuse_plain_dependencies(route: BaseRoute) -> None:
    """EndpointError for a dependency that is no coroutine: the framework runs it in a thread, which
    costs more than a small read, and at most 40 requests get one at a time."""
    waiting = list(route.dependant.dependencies) if isinstance(route, APIRoute) else []
    while waiting:
        found = waiting.pop()
        waiting.extend(found.dependencies)
        call = found.call
        if not (inspect.iscoroutinefunction(call) or inspect.isasyncgenfunction(call)):
            name = getattr(call, "__name__", repr(call))
            raise EndpointError(f"the dependency {name} of {route.name} must be `async def`")  # type: ignore[attr-defined]


async def _same_request(request: Request) -> Request:
    return request


async def _within_time(endpoint: Endpoint, work: Awaitable[Any]) -> Any:
    """The result of `work`, or 504. Streams have their own limits."""
    route = endpoint.route
    seconds = endpoint.time_limit_seconds
    if seconds is None:
        seconds = GENERATE_SECONDS if route.bucket == "generate" else READ_WRITE_SECONDS
    if route.kind == "stream":
        return await work
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            return await work
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise CallerError(Code.UPSTREAM_TIMEOUT, "The request took too long") from error


def _subject(route: PublicRoute, context: RequestContext) -> str:
    if COUNTED_PER[route.bucket] == "user" and context.principal is not None:
        return str(context.principal.user_id or context.principal.subject)
    return context.address
