"""An event stream that the router begins itself, so that a held client hears that it is not forgotten.

From then on the status line is spent: an app's refusal becomes an `error` event (contract, 1.12).
"""

from __future__ import annotations

import json
from typing import Final

from router.chunked import LAST_CHUNK, encode_chunk
from router.replies import EVENT_STREAM, Replies
from router.response_head import ResponseHead
from router.seams import ClientLink
from shared.errors import Code

_COMMENT: Final = b": held\n\n"
#: Longest error body of an app that is turned into an event, in bytes.
_MAX_ERROR_BYTES: Final = 64 * 1024


class HeldStream:
    """The client's side of a stream that was begun before an app was chosen."""

    __slots__ = ("_client", "_collected", "_is_passed", "_request_id")

    def __init__(self, client: ClientLink, replies: Replies, request_id: bytes) -> None:
        self._client = client
        self._request_id = request_id
        self._is_passed = False
        self._collected = b""
        client.write(replies.stream_head(request_id) + encode_chunk(_COMMENT))

    def comment(self) -> None:
        """One more sign of life."""
        self._client.write(encode_chunk(_COMMENT))

    def head(self, head: ResponseHead) -> None:
        """The app's head: its stream passes, anything else is collected."""
        kind = head.fields.get(b"content-type", b"").lower()
        self._is_passed = head.status == 200 and kind.startswith(EVENT_STREAM)

    def body(self, body: bytes, done: bool) -> None:
        """Payload of the app."""
        if self._is_passed:
            chunk = encode_chunk(body) if body else b""
            self._client.write(chunk + LAST_CHUNK if done else chunk)
            return
        if len(self._collected) < _MAX_ERROR_BYTES:
            self._collected += body
        if done:
            self.error(self._collected)

    def error(self, body: bytes) -> None:
        """End with an `error` event made of an error body."""
        event = b"id: 1\nevent: error\ndata: " + _error_object(body, self._request_id) + b"\n\n"
        self._client.write(encode_chunk(event) + LAST_CHUNK)


def _error_object(body: bytes, request_id: bytes) -> bytes:
    try:
        found = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError, RecursionError):
        found = None
    if not isinstance(found, dict):
        found = {
            "code": str(Code.UNAVAILABLE),
            "message": "No app answers at the moment",
            "details": {},
            "request_id": request_id.decode("latin-1"),
        }
    return json.dumps(found, separators=(",", ":")).encode()
