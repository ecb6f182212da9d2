"""The checks before a handler, in the order of contract, 1.5: token, role, rate, tier, body, fields."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, cast
from uuid import UUID

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from monolith.bodies import (
    WEBHOOK_BYTES_MAX,
    ReadRequest,
    read_bytes,
    read_form_request,
    read_json_request,
)
from monolith.calls import CALL, Call, Contract
from monolith.context import Context
from monolith.database import database_error
from monolith.errors import ApiError, invalid_fields, malformed
from monolith.ratelimit import Count
from monolith.tokens import ServiceToken, Token, UserToken, token_invalid

log = logging.getLogger("monolith.gates")
Handler = Callable[[Request], Coroutine[Any, Any, Response]]
BODY_SECONDS = 60.0  # 25 MiB over a slow mobile line
CONTRACT = "contract"  # attribute of an endpoint function that holds its Contract


class ContractRoute(APIRoute):
    """A route that runs the gates before FastAPI reads the fields and calls the handler."""

    def get_route_handler(self) -> Handler:
        handler = super().get_route_handler()
        contract = cast(Contract, getattr(self.endpoint, CONTRACT))

        async def answer(request: Request) -> Response:
            call = Call(
                context=request.app.state.context,
                contract=contract,
                request=request,
                request_id=request.scope["request_id"],
                token=None,
            )
            counted: list[Count] = []
            try:
                response = await _pass_gates(call, handler, counted)
            except Exception as error:
                response = error_response(error, call.request_id)
            for count in counted:
                response.headers.update(count.headers())
            return response

        return answer


async def _pass_gates(call: Call, handler: Handler, counted: list[Count]) -> Response:
    """All checks, then the handler; the time that a client takes to send its body has its own limit."""
    contract = call.contract
    async with asyncio.timeout(contract.deadline_seconds):
        await _check_caller(call, counted)
    async with asyncio.timeout(BODY_SECONDS):
        request = await _read_body(call)
    request.scope[CALL] = call
    call.request = request
    try:
        async with asyncio.timeout(contract.deadline_seconds):
            return await handler(request)
    except RequestValidationError as error:
        raise field_errors(error, contract) from error
    except HTTPException as error:
        raise malformed("The body cannot be read") from error


async def _check_caller(call: Call, counted: list[Count]) -> None:
    """Token, role, rate, tier."""
    contract = call.contract
    call.token = await admit(call.context, contract, call.request.headers.get("authorization"))
    if call.request.headers.get("x-shadow") == "1":
        if contract.kind != "read":
            raise ApiError("FORBIDDEN", "A copy of a request may only read")
    else:
        await _count(call, counted)
    if contract.auth == "tier1":
        await require_tier(call.context, call.user_id, 1)


async def _count(call: Call, counted: list[Count]) -> None:
    contract = call.contract
    if contract.bucket == "none":
        return
    by_address = contract.bucket in {"public", "sensitive"} or call.token is None
    subject = client_address(call.request) if by_address else str(call.user_id)
    now = time.time()
    count = await call.context.limiter.count(contract.bucket, subject, now)
    if count is not None:
        counted.append(count)
        refused = count.refusal(now)
        if refused is not None:
            raise refused


async def _read_body(call: Call) -> Request:
    contract = call.contract
    if contract.kind == "webhook":
        body = await read_bytes(call.request, WEBHOOK_BYTES_MAX)
        return ReadRequest(call.request, body, None)
    if contract.kind == "upload":
        return await read_form_request(call.request, contract.upload_bytes_max)
    if contract.method in {"POST", "PUT", "PATCH"}:
        return await read_json_request(call.request)
    return call.request


def client_address(request: Request) -> str:
    """Where the client sits: the router's X-Real-IP, else the peer."""
    return request.headers.get("x-real-ip") or (request.client.host if request.client else "-")


def bearer(header: str | None) -> str | None:
    """The value behind the Bearer scheme; None if there is no such header."""
    if header is None:
        return None
    scheme, _, value = header.strip().partition(" ")
    return value.strip() if scheme.lower() == "bearer" else None


async def admit(context: Context, contract: Contract, header: str | None) -> UserToken | None:
    """Who calls; raises 401 or 403. Public routes take a bad token for an anonymous viewer."""
    if contract.auth == "signature":
        return None
    try:
        return await _admitted(context, contract, _identify(context, header))
    except ApiError as error:
        if contract.auth == "public" and error.status in {401, 403}:
            return None
        raise


async def _admitted(context: Context, contract: Contract, token: Token) -> UserToken | None:
    if contract.auth == "service_role":
        if not isinstance(token, ServiceToken):
            raise ApiError("FORBIDDEN", "This route is for services")
        return None
    if not isinstance(token, UserToken):
        raise ApiError("FORBIDDEN", "This route is for people")
    await check_account(context, token.user_id, provisioned=contract.provisioned)
    return token


def _identify(context: Context, header: str | None) -> Token:
    value = bearer(header)
    if value is None:
        raise ApiError("AUTH_REQUIRED", "An Authorization header with a Bearer token is needed")
    if not value:
        raise token_invalid()
    return context.tokens.read(value, time.time())


async def check_account(context: Context, user_id: UUID, *, provisioned: bool = True) -> None:
    row = await context.database.row("SELECT deleted_at FROM users WHERE id = $1", user_id)
    if row is None:
        if provisioned:
            raise ApiError("ACCOUNT_NOT_PROVISIONED", "Call POST /api/auth/sync first")
    elif row["deleted_at"] is not None:
        raise ApiError("ACCOUNT_DELETED", "This account was deleted")


async def effective_tier(context: Context, user_id: UUID | str) -> int:
    """The tier that counts, read from the view, never from a token or a cache."""
    tier = await context.database.value("SELECT tier FROM user_tiers WHERE user_id = $1", user_id)
    return int(tier or 0)


async def require_tier(context: Context, user_id: UUID, required: int) -> int:
    tier = await effective_tier(context, user_id)
    if tier < required:
        raise insufficient_tier(tier, required)
    return tier


def insufficient_tier(tier: int, required: int) -> ApiError:
    return ApiError(
        "INSUFFICIENT_TIER",
        "A higher plan is needed",
        {"current_tier": tier, "required_tier": required},
    )


def field_errors(error: RequestValidationError, contract: Contract) -> ApiError:
    """FastAPI's list of faults as paths such as `body.message`, `query.limit`, `form.file`."""
    fields: list[tuple[str, str]] = []
    for fault in error.errors():
        place = [str(step) for step in fault["loc"]]
        if contract.kind == "upload" and place[:1] == ["body"]:
            place[0] = "form"
        fields.append((".".join(place), str(fault["msg"])))
    return invalid_fields(fields)


def error_response(error: BaseException, request_id: str) -> Response:
    """Any exception as the one error shape; what is not foreseen is logged and told to nobody."""
    if isinstance(error, ApiError):
        return error.response(request_id)
    known = database_error(error)
    if known is None and isinstance(error, TimeoutError):
        known = ApiError("UPSTREAM_TIMEOUT", "The answer took too long")
    if known is None:
        log.error("unexpected error", exc_info=error, extra={"request_id": request_id})
        known = ApiError("INTERNAL_ERROR", "Something went wrong")
    return known.response(request_id)


Endpoint = Callable[..., Awaitable[Response]]
