"""An open WebSocket between a client and an app: passes bytes, and can ask the client to come again.

Knows no routes. RFC 6455; close codes as in contract, 1.14.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Final

from router.frames import CLOSE_1012, FrameTracker
from router.request_head import RequestHead
from router.response_head import ResponseHead
from router.seams import ClientLink, UpstreamLink

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3
#: Time for the client to answer our close frame, in seconds.
GOODBYE_SECONDS: Final = 2.0


def is_handshake(request: RequestHead, answer: ResponseHead) -> bool:
    """Whether a 101 answers this very upgrade request (RFC 6455 section 4.1)."""
    key = request.fields.get(b"sec-websocket-key")
    if not request.upgrade or key is None:
        return False
    accept = base64.b64encode(hashlib.sha1(key + _GUID).digest())  # noqa: S324 - RFC 6455
    fields = answer.fields
    options = [option.strip() for option in fields.get(b"connection", b"").lower().split(b",")]
    return (
        fields.get(b"upgrade", b"").lower() == b"websocket"
        and b"upgrade" in options
        and fields.get(b"sec-websocket-accept") == accept
    )


class Tunnel:
    """Both directions of one open socket."""

    __slots__ = ("_client", "_frames", "_is_leaving", "_link", "_said_goodbye")

    def __init__(self, client: ClientLink, link: UpstreamLink) -> None:
        self._client = client
        self._link = link
        self._frames = FrameTracker()
        self._is_leaving = False
        self._said_goodbye = False

    def from_app(self, data: bytes) -> None:
        """Bytes for the client; nothing follows a close frame of ours."""
        if not self._is_leaving:
            self._frames.feed(data)
            self._client.write(data)
        elif not self._said_goodbye:
            end = self._frames.split(data)
            self._client.write(data[:end])
            self._say_goodbye_if_possible()

    def from_client(self, data: bytes) -> bool:
        """Bytes for the app; False when the client has answered our close frame."""
        if self._said_goodbye:
            return False
        self._link.send(data)
        return True

    def ask_to_reconnect(self) -> None:
        """Close with 1012 as soon as no frame is under way: the client comes again by itself."""
        if not self._is_leaving:
            self._is_leaving = True
            self._client.close_within(GOODBYE_SECONDS)
            self._say_goodbye_if_possible()

    def _say_goodbye_if_possible(self) -> None:
        if self._frames.is_at_boundary:
            self._said_goodbye = True
            self._client.write(CLOSE_1012)
            self._client.close_within(GOODBYE_SECONDS)
