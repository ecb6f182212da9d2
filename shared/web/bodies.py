"""Reads request bodies by the contract's rules (1.2, 1.13, 1.16): type, size, JSON; knows no route."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message, Receive

from shared.contract.routes import PublicRoute
from shared.errors import CallerError, Code

KIB = 1024
MIB = 1024 * KIB
JSON_LIMIT_BYTES = 256 * KIB  # contract, 1.2
WEBHOOK_LIMIT_BYTES = 1 * MIB  # contract, 1.13
#: The largest file is 25 MiB of audio (1.16); the rest is room for the other form fields.
UPLOAD_LIMIT_BYTES = 26 * MIB
_END_BYTES = 16  # of a form are looked at for the mark of its end and a line break
_FORM_FIELDS = 50
_FORM_FILES = 5


class JsonRequest(Request):
    """A request whose JSON was parsed already; the framework asks it for the parsed value."""

    def with_json(self, body: bytes, value: Any) -> JsonRequest:
        self._body = body
        self._json = value
        return self


async def read_body(request: Request, route: PublicRoute) -> Request:
    """The request with its body read and checked, as the framework will ask for it.

    Raises 400, 413 and 415 of the contract. Reads have no body; it is left alone.
    """
    if route.kind == "read":
        return request
    if route.kind == "upload":
        return await _read_form(request)
    if route.kind == "webhook":
        body = await _read_bytes(request, WEBHOOK_LIMIT_BYTES)
        return _json_request(request, body, None)
    body = await _read_json_bytes(request)
    if not body.strip():
        return _json_request(_declared_json(request), b"{}", {})  # an empty body: an empty object
    return _json_request(request, body, parse_json(body))


def parse_json(body: bytes) -> Any:
    """JSON in UTF-8, without NaN, infinities or half surrogates; 400 otherwise."""
    try:
        return from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise CallerError(Code.MALFORMED_REQUEST, "The body is not valid JSON") from error


async def _read_json_bytes(request: Request) -> bytes:
    declared = _declared_length(request)
    if declared != 0 and (declared or _is_chunked(request)):
        _require_type(request, "application/json")
    return await _read_bytes(request, JSON_LIMIT_BYTES)


async def _read_bytes(request: Request, limit: int) -> bytes:
    if (_declared_length(request) or 0) > limit:
        raise _too_large(limit)
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > limit:
                raise _too_large(limit)
            chunks.append(chunk)
    except ClientDisconnect as error:
        raise CallerError(Code.MALFORMED_REQUEST, "The body is not complete") from error
    return b"".join(chunks)


async def _read_form(request: Request) -> Request:
    if (_declared_length(request) or 0) > UPLOAD_LIMIT_BYTES:
        raise _too_large(UPLOAD_LIMIT_BYTES)
    if _declared_length(request) != 0 or _is_chunked(request):
        _require_type(request, "multipart/form-data")
    body = _LimitedBody(request.receive, UPLOAD_LIMIT_BYTES)
    limited = Request(request.scope, body.receive, request._send)
    try:
        form: FormData = await limited.form(max_files=_FORM_FILES, max_fields=_FORM_FIELDS)
    except HTTPException as error:
        raise CallerError(Code.MALFORMED_REQUEST, "The form cannot be read") from error
    except ClientDisconnect as error:
        raise CallerError(Code.MALFORMED_REQUEST, "The body is not complete") from error
    if not body.is_whole:
        raise CallerError(Code.MALFORMED_REQUEST, "The form ends too early")
    _refuse_nul(form)
    return limited


class _LimitedBody:
    """Passes a form on as it comes, up to a limit, and remembers how it ended."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive = receive
        self._limit = limit
        self._size = 0
        self._end = b""

    @property
    def is_whole(self) -> bool:
        """Whether it ends as a form does (RFC 2046, 5.1.1); no body at all is whole, too."""
        return not self._size or self._end.rstrip().endswith(b"--")

    async def receive(self) -> Message:
        message = await self._receive()
        chunk = message.get("body", b"")
        self._size += len(chunk)
        if self._size > self._limit:
            raise _too_large(self._limit)
        self._end = (self._end + chunk)[-_END_BYTES:]
        return message


def _refuse_nul(form: FormData) -> None:
    for name, value in form.multi_items():
        if isinstance(value, str) and "\x00" in value:
            raise CallerError(
                Code.VALIDATION_ERROR,
                f"form.{name}: must not contain the character NUL",
                details={"fields": [{"path": f"form.{name}", "message": "contains NUL"}]},
            )


def _declared_json(request: Request) -> Request:
    """The request with a type, for the framework leaves a body without one unread."""
    kept = [(name, value) for name, value in request.scope["headers"] if name != b"content-type"]
    headers = [*kept, (b"content-type", b"application/json")]
    return Request({**request.scope, "headers": headers}, request.receive, request._send)


def _json_request(request: Request, body: bytes, value: Any) -> Request:
    return JsonRequest(request.scope, request.receive, request._send).with_json(body, value)


def _require_type(request: Request, wanted: str) -> None:
    given, parameters = _content_type(request.headers)
    charset = parameters.get("charset", "utf-8").strip('"').lower()
    if given != wanted or charset not in ("utf-8", "utf8"):
        raise CallerError(
            Code.UNSUPPORTED_MEDIA_TYPE,
            f"The body must be {wanted}",
            details={"allowed": [wanted]},
        )


def _content_type(headers: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    given, *rest = headers.get("content-type", "").split(";")
    pairs = (part.partition("=") for part in rest)
    return given.strip().lower(), {name.strip().lower(): value.strip() for name, _, value in pairs}


def _declared_length(request: Request) -> int | None:
    text = request.headers.get("content-length", "")
    return int(text) if text.isdecimal() else None


def _is_chunked(request: Request) -> bool:
    return "transfer-encoding" in request.headers


def _too_large(limit: int) -> CallerError:
    return CallerError(
        Code.PAYLOAD_TOO_LARGE,
        f"The body may have at most {limit} bytes",
        details={"limit_bytes": limit},
    )
