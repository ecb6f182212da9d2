"""Turns any exception into the one error shape of the contract (1.6); the only place that does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from shared.errors import HTTP_STATUS, CallerError, Code, PeerError
from shared.placement.errors import CONTENTION_ERRORS, LOST_CONNECTION_ERRORS
from shared.web.context import RequestContext

#: What clients read when the cause is nobody's business. Messages are not part of the contract.
_PUBLIC_MESSAGES: Mapping[Code, str] = {
    Code.INTERNAL_ERROR: "Something went wrong on our side",
    Code.UNAVAILABLE: "This part of the service is not available right now",
    Code.PROVIDER_ERROR: "A provider failed",
    Code.PROVIDER_TIMEOUT: "A provider took too long",
    Code.UPSTREAM_TIMEOUT: "The request took too long",
}

#: When to come back after a row was locked or a statement ran for too long, in seconds.
CONTENTION_RETRY_SECONDS = 1

#: Codes for errors that the web framework raises by status alone.
_CODE_OF_STATUS: Mapping[int, Code] = {
    400: Code.MALFORMED_REQUEST,
    401: Code.AUTH_REQUIRED,
    403: Code.FORBIDDEN,
    404: Code.NOT_FOUND,
    405: Code.METHOD_NOT_ALLOWED,
    409: Code.CONFLICT,
    413: Code.PAYLOAD_TOO_LARGE,
    415: Code.UNSUPPORTED_MEDIA_TYPE,
    422: Code.VALIDATION_ERROR,
    429: Code.RATE_LIMITED,
    503: Code.UNAVAILABLE,
    504: Code.UPSTREAM_TIMEOUT,
}


def error_body(
    code: Code, message: str, details: Mapping[str, Any], request_id: str
) -> dict[str, Any]:
    """The JSON of an error: `error` for clients, `detail` for old ones (frozen, 1.6)."""
    detail: Any = message
    if HTTP_STATUS[code] == 402:
        detail = {"code": code.value, "message": message, **details}
    return {
        "error": {
            "code": code.value,
            "message": message,
            "details": dict(details),
            "request_id": request_id,
        },
        "detail": detail,
    }


def error_response(error: Exception, context: RequestContext) -> Response:
    """The answer to a request that failed with `error`; anything unknown is a bare 500."""
    refusal = as_refusal(error, context)
    body = error_body(refusal.code, refusal.message, refusal.details, context.request_id)
    headers = dict(refusal.headers)
    if refusal.status == 401:
        headers.setdefault("WWW-Authenticate", "Bearer")
    retry_after = refusal.details.get("retry_after")
    if retry_after is not None:
        headers.setdefault("Retry-After", str(retry_after))
    return Response(
        json.dumps(body, separators=(",", ":"), default=_plain),
        status_code=refusal.status,
        headers=headers,
        media_type="application/json",
    )


def as_refusal(error: Exception, context: RequestContext) -> CallerError:
    """Any exception as the code, public message and details that the client may see."""
    if isinstance(error, CallerError):
        return error
    if isinstance(error, PeerError):
        return _peer_refusal(error, context)
    if isinstance(error, (*CONTENTION_ERRORS, *LOST_CONNECTION_ERRORS)):
        return unavailable(context.domain, CONTENTION_RETRY_SECONDS)
    if isinstance(error, RequestValidationError):
        return _field_refusal(error, context)
    if isinstance(error, HTTPException):
        return _framework_refusal(error)
    return CallerError(Code.INTERNAL_ERROR, _PUBLIC_MESSAGES[Code.INTERNAL_ERROR])


def unavailable(scope: str | None, retry_after: int, until: str | None = None) -> CallerError:
    """503 UNAVAILABLE of a domain, with the details of 1.6."""
    return CallerError(
        Code.UNAVAILABLE,
        _PUBLIC_MESSAGES[Code.UNAVAILABLE],
        details={"scope": scope or "all", "until": until, "retry_after": retry_after},
    )


def _peer_refusal(error: PeerError, context: RequestContext) -> CallerError:
    if error.code is Code.UNAVAILABLE:
        return unavailable(context.domain, error.retry_after)
    return CallerError(error.code, _PUBLIC_MESSAGES[error.code], details=error.details)


def _field_refusal(error: RequestValidationError, context: RequestContext) -> CallerError:
    """422 with field paths; a header that cannot be read is 400 (1.6)."""
    is_form = context.route is not None and context.route.kind == "upload"
    fields: list[dict[str, str]] = []
    for found in error.errors():
        place, *rest = (str(part) for part in found["loc"])
        if place in ("header", "cookie"):
            return CallerError(Code.MALFORMED_REQUEST, f"Bad header {'.'.join(rest)}")
        if place == "body" and is_form:
            place = "form"
        message = str(found["msg"]).removeprefix("Value error, ")
        fields.append({"path": ".".join([place, *rest]), "message": message})
    summary = f"{fields[0]['path']}: {fields[0]['message']}" if fields else "Not valid"
    return CallerError(Code.VALIDATION_ERROR, summary, details={"fields": fields})


def _framework_refusal(error: HTTPException) -> CallerError:
    code = _CODE_OF_STATUS.get(error.status_code, Code.INTERNAL_ERROR)
    if code is Code.INTERNAL_ERROR:
        return CallerError(code, _PUBLIC_MESSAGES[code])
    return CallerError(code, str(error.detail), headers=error.headers)


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        raise TypeError("timestamps go into details in the contract's format, as text")
    return str(value)
