"""How a domain declares its routes, with their marks from the contract, on a FastAPI router."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from monolith import idempotency
from monolith.bodies import form_parts
from monolith.calls import Auth, Bucket, Call, Contract, Kind
from monolith.gates import CONTRACT, ContractRoute, Endpoint

# For routes whose answers carry an ETag.
UNCHANGED: Mapping[int | str, dict[str, Any]] = {304: {"description": "Not modified"}}


class DomainRouter:
    """The routes of one domain."""

    def __init__(self, domain: str) -> None:
        self.domain = domain
        self.api = APIRouter(redirect_slashes=False)

    def route(
        self,
        name: str,
        method: str,
        path: str,
        *,
        auth: Auth,
        kind: Kind,
        bucket: Bucket,
        answer: type[BaseModel] | None = None,
        success: int = 200,
        keyed: bool = False,
        upload_bytes_max: int = 0,
        provisioned: bool = True,
        content: Sequence[str] = (),
        also: Mapping[int | str, dict[str, Any]] | None = None,
    ) -> Callable[[Endpoint], Endpoint]:
        """Register a handler; name, marks and status are those of the contract's tables.

        content: types of an answer that is no JSON; also: further answers for the document.
        """
        contract = Contract(
            f"{self.domain}.{name}",
            self.domain,
            method,
            path,
            auth,
            kind,
            bucket,
            success,
            keyed,
            upload_bytes_max,
            provisioned,
        )

        def register(endpoint: Endpoint) -> Endpoint:
            handler = _keyed(endpoint) if keyed else _plain(endpoint)
            answers: dict[int | str, dict[str, Any]] = dict(also or {})
            if content:
                answers[success] = {"content": {kind: {} for kind in content}}
            setattr(handler, CONTRACT, contract)
            self.api.add_api_route(
                path,
                handler,
                methods=[method],
                name=contract.name,
                operation_id=contract.name.replace(".", "_"),
                status_code=success,
                response_model=answer,
                response_class=Response if content else JSONResponse,
                responses=answers,
                tags=[self.domain],
                route_class_override=ContractRoute,
            )
            return endpoint

        return register


def _plain(endpoint: Endpoint) -> Endpoint:
    @functools.wraps(endpoint)
    async def run(*arguments: Any, **named: Any) -> Response:
        return await endpoint(*arguments, **named)

    return run


def _keyed(endpoint: Endpoint) -> Endpoint:
    """Answer a repeated Idempotency-Key from its row; runs after the fields were checked."""

    @functools.wraps(endpoint)
    async def run(*, call: Call, **named: Any) -> Response:
        key = idempotency.read_key(call.request.headers.get("idempotency-key"))
        if key is None:
            return await endpoint(call=call, **named)
        database, contract = call.context.database, call.contract
        claimed = await idempotency.claim(
            database, call.user_id, contract.name, key, await _request_hash(call)
        )
        if isinstance(claimed, Response):
            return claimed
        call.claim = claimed
        try:
            response = await endpoint(call=call, **named)
            if 200 <= response.status_code < 300 and call.claim is not None:
                kind = response.headers["content-type"]
                await idempotency.complete(
                    database, claimed, response.status_code, kind, bytes(response.body)
                )
                call.claim = None
        finally:
            if call.claim is not None:
                await idempotency.release(database, claimed)
        return response

    return run


async def _request_hash(call: Call) -> str:
    request = call.request
    path = request.scope["path"]
    if call.contract.kind == "upload":
        return idempotency.form_hash(request.method, path, await form_parts(await request.form()))
    return idempotency.json_hash(request.method, path, await request.body())
