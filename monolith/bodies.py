"""Request bodies before any field is looked at: type, size, strict JSON, whole multipart."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

from fastapi import Request
from starlette.datastructures import FormData, UploadFile
from starlette.requests import ClientDisconnect

from monolith.errors import invalid_field, malformed, too_large, unsupported_type

JSON_BYTES_MAX = 256 * 1024
WEBHOOK_BYTES_MAX = 1024 * 1024
IMAGE_BYTES_MAX = 10 * 1024 * 1024
AUDIO_BYTES_MAX = 25 * 1024 * 1024
FORM_EXTRA_BYTES = 64 * 1024  # boundaries, part headers and the other fields of a form
JSON_TYPE = "application/json"
FORM_TYPE = "multipart/form-data"


class ReadRequest(Request):
    """A request whose body has been read and checked; FastAPI takes the fields from it."""

    def __init__(self, request: Request, body: bytes, parsed: object) -> None:
        scope = request.scope
        if parsed is not None:
            headers = [(k, v) for k, v in scope["headers"] if k != b"content-type"]
            scope = {**scope, "headers": [*headers, (b"content-type", JSON_TYPE.encode())]}
        super().__init__(scope, request.receive)
        self._read = body
        self._parsed = parsed

    async def stream(self) -> AsyncIterator[bytes]:  # type: ignore[override]
        yield self._read
        yield b""

    async def body(self) -> bytes:
        return self._read

    async def json(self) -> Any:
        return self._parsed


def media_type(request: Request) -> str:
    """The declared type; one whose characters are not UTF-8 counts as another type."""
    kind, _, rest = request.headers.get("content-type", "").partition(";")
    for parameter in rest.split(";"):
        name, _, value = parameter.strip().partition("=")
        if name.lower() == "charset" and value.strip('"').lower() not in {"utf-8", "utf8"}:
            return f"{kind.strip()};{parameter.strip()}".lower()
    return kind.strip().lower()


async def read_bytes(request: Request, limit_bytes: int, extra_bytes: int = 0) -> bytes:
    """The whole body, or PAYLOAD_TOO_LARGE as soon as the bound is passed."""
    bound = limit_bytes + extra_bytes
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > bound:
        raise too_large(limit_bytes)
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > bound:
                raise too_large(limit_bytes)
    except ClientDisconnect as error:
        raise malformed("The body ends too early") from error
    return bytes(body)


def parse_json(body: bytes) -> Any:
    """Strict JSON: UTF-8, no NaN, no endless depth."""
    try:
        return json.loads(body.decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise malformed("The body is not JSON") from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


async def read_json_request(request: Request) -> ReadRequest:
    """A JSON body; an empty one counts as `{}`."""
    declared = media_type(request)
    if request.headers.get("content-length", "0") != "0" and declared != JSON_TYPE:
        raise unsupported_type([JSON_TYPE])
    body = await read_bytes(request, JSON_BYTES_MAX)
    if not body.strip():
        return ReadRequest(request, b"{}", {})
    if declared != JSON_TYPE:
        raise unsupported_type([JSON_TYPE])
    parsed = parse_json(body)
    if not isinstance(parsed, dict):
        raise invalid_field("body", "must be a JSON object")
    return ReadRequest(request, body, parsed)


async def read_form_request(request: Request, limit_bytes: int) -> ReadRequest:
    """A multipart body of at most limit_bytes and the form around it."""
    declared = media_type(request)
    if declared not in {FORM_TYPE, ""}:
        raise unsupported_type([FORM_TYPE])
    body = await read_bytes(request, limit_bytes, FORM_EXTRA_BYTES)
    if body and declared != FORM_TYPE:
        raise unsupported_type([FORM_TYPE])
    if body and not body.rstrip().endswith(b"--"):
        raise malformed("The form ends too early")
    return ReadRequest(request, body, None)


async def form_parts(form: FormData) -> list[tuple[str, bytes]]:
    """Every field of a form as bytes, for its idempotency hash."""
    parts: list[tuple[str, bytes]] = []
    for name, value in form.multi_items():
        if isinstance(value, UploadFile):
            await value.seek(0)
            parts.append((name, await value.read()))
            await value.seek(0)
        else:
            parts.append((name, value.encode()))
    return parts
