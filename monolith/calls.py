"""One request as a handler sees it: who calls, under which contract, with what at hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Depends, Request, Response
from pydantic import BaseModel

from monolith.context import Context
from monolith.errors import ApiError
from monolith.idempotency import Claim
from monolith.tokens import UserToken
from monolith.values import microseconds

Auth = Literal["public", "user", "tier1", "service_role", "signature"]
Kind = Literal["read", "write", "stream", "upload", "websocket", "webhook"]
Bucket = Literal["default", "generate", "public", "sensitive", "none"]
CALL = "monolith.call"


@dataclass(frozen=True, slots=True)
class Contract:
    """The marks of a route in the endpoint tables of contract, 2."""

    name: str
    domain: str
    method: str
    path: str
    auth: Auth
    kind: Kind
    bucket: Bucket
    success: int = 200
    keyed: bool = False
    upload_bytes_max: int = 0
    provisioned: bool = True  # False only for auth.sync, which makes the users row

    @property
    def deadline_seconds(self) -> float:
        """contract, 1.17: 10 s, or 55 s where a provider is asked."""
        return 55.0 if self.bucket == "generate" else 10.0


@dataclass(slots=True)
class Call:
    """Given to every handler by CurrentCall."""

    context: Context
    contract: Contract
    request: Request
    request_id: str
    token: UserToken | None
    claim: Claim | None = None  # the held Idempotency-Key, if the client sent one

    def take_claim(self) -> Claim | None:
        """Hand the key over to work that outlives this call (an event stream)."""
        held, self.claim = self.claim, None
        return held

    @property
    def user_id(self) -> UUID:
        """The caller; only for routes whose auth is `user` or `tier1`."""
        if self.token is None:
            raise ApiError("AUTH_REQUIRED", "Sign in first")
        return self.token.user_id

    @property
    def viewer_id(self) -> UUID | None:
        """The caller of a public route, or None for anonymous people."""
        return None if self.token is None else self.token.user_id


async def current_call(request: Request) -> Call:
    call: Call = request.scope[CALL]
    return call


CurrentCall = Annotated[Call, Depends(current_call)]


def reply(body: BaseModel, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(
        body.model_dump_json(), status, dict(headers or {}), media_type="application/json"
    )


def empty() -> Response:
    return Response(status_code=204)


def tag_of(*moments: Any) -> str:
    """The weak ETag of rows: their latest change in microseconds."""
    return f'W/"{max(microseconds(moment) for moment in moments if moment is not None)}"'


def tag_matches(header: str | None, tag: str) -> bool:
    """Weak comparison of If-None-Match (RFC 9110, 13.1.2)."""
    if header is None:
        return False
    opaque = tag.removeprefix("W/")
    wanted = [part.strip().removeprefix("W/") for part in header.split(",")]
    return "*" in wanted or opaque in wanted


def tagged(
    call: Call, tag: str, headers: Mapping[str, str], body: Callable[[], BaseModel]
) -> Response:
    """The body with its ETag, or 304 if the client has it already."""
    both = {**headers, "ETag": tag}
    if tag_matches(call.request.headers.get("if-none-match"), tag):
        return Response(status_code=304, headers=both)
    return reply(body(), headers=both)
