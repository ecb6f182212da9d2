"""Answers that the router gives by itself, as bytes in the contract's shape; pure, knows no sockets."""

from __future__ import annotations

import json
import time
from email.utils import formatdate
from http import HTTPStatus
from typing import Final

from router.failure import Refusal
from shared.errors import HTTP_STATUS, Code

EVENT_STREAM: Final = b"text/event-stream"
_REASONS: Final = {status.value: status.phrase for status in HTTPStatus}


class Replies:
    """Builds answers. `allowed_origins` are the ones of the apps' CORS list (contract, 1.3)."""

    def __init__(self, allowed_origins: tuple[str, ...] = ()) -> None:
        self._origins = frozenset(origin.encode("latin-1") for origin in allowed_origins)
        self._date = (0, "")

    def refusal(
        self, refusal: Refusal, request_id: bytes, *, origin: bytes | None, method: str, close: bool
    ) -> tuple[int, bytes]:
        """Status and bytes of a refused request."""
        status = refusal.status or HTTP_STATUS[refusal.code]
        body = error_body(refusal.code, refusal.message, refusal.details, request_id)
        return status, self.answer(
            status,
            body,
            request_id,
            headers=refusal.headers,
            origin=origin,
            method=method,
            close=close or refusal.close,
        )

    def answer(
        self,
        status: int,
        body: bytes,
        request_id: bytes,
        *,
        headers: tuple[tuple[str, str], ...] = (),
        origin: bytes | None = None,
        method: str = "GET",
        close: bool = False,
    ) -> bytes:
        """A whole answer with a JSON body, or without one when `body` is empty."""
        lines = [
            f"HTTP/1.1 {status} {_REASONS.get(status, 'Unknown')}",
            f"Date: {self._http_date()}",
            "Cache-Control: no-store",
            "X-Content-Type-Options: nosniff",
            f"X-Request-Id: {request_id.decode('latin-1')}",
        ]
        if status != 204:
            lines.append(f"Content-Length: {len(body)}")
        if body:
            lines.append("Content-Type: application/json")
        lines += [f"{name}: {value}" for name, value in headers]
        if origin is not None and origin in self._origins:
            lines += [
                f"Access-Control-Allow-Origin: {origin.decode('latin-1')}",
                "Access-Control-Allow-Credentials: true",
                "Vary: Origin",
            ]
        if close:
            lines.append("Connection: close")
        head = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
        return head if method == "HEAD" else head + body

    def stream_head(self, request_id: bytes) -> bytes:
        """Head of an event stream that the router begins for an app (contract, 1.12)."""
        lines = (
            "HTTP/1.1 200 OK",
            f"Date: {self._http_date()}",
            "Content-Type: text/event-stream; charset=utf-8",
            "Cache-Control: no-cache, no-transform",
            "X-Accel-Buffering: no",
            "X-Content-Type-Options: nosniff",
            f"X-Request-Id: {request_id.decode('latin-1')}",
            "Transfer-Encoding: chunked",
        )
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"

    def _http_date(self) -> str:
        now = int(time.time())
        if self._date[0] != now:
            self._date = (now, formatdate(now, usegmt=True))
        return self._date[1]


def error_body(code: Code, message: str, details: dict[str, object], request_id: bytes) -> bytes:
    """The one shape of errors (contract, 1.6)."""
    return json.dumps(
        {
            "error": {
                "code": str(code),
                "message": message,
                "details": details,
                "request_id": request_id.decode("latin-1"),
            },
            "detail": message,
        },
        separators=(",", ":"),
    ).encode()
