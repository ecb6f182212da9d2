"""Writes one answer in a framing that the client understands; knows no app and no owner."""

from __future__ import annotations

from router.chunked import LAST_CHUNK, encode_chunk
from router.held_stream import HeldStream
from router.request_head import RequestHead
from router.response_head import ResponseHead
from router.seams import ClientLink, Waiting


class AnswerWriter(Waiting):
    """The client's side of one exchange.

    `keep` says whether the connection stays after the answer; `held_stream` is set when the router has
    begun an event stream before an app was chosen.
    """

    def __init__(self, client: ClientLink, head: RequestHead) -> None:
        self.client = client
        self.head = head
        self.held_stream: HeldStream | None = None
        self.keep = True
        self._is_framed_anew = False

    @property
    def may_stay(self) -> bool:
        """Whether client and router both want another request on this connection."""
        return self.head.keeps_alive and self.client.keeps_alive()

    @property
    def shows_its_end(self) -> bool:
        """Whether the client can tell a cut answer from a whole one."""
        return self._is_framed_anew or not self.head.is_http_1_0

    def write_head(
        self, head: ResponseHead, data: bytes, body: bytes, done: bool, extra: bytes
    ) -> None:
        """The app's head and what came behind it: `data` raw, `body` without its framing.

        `extra` are lines to add, each with its leading CRLF.
        """
        if self.held_stream is not None:
            self.held_stream.head(head)
            self.held_stream.body(body, done)
        elif (
            head.is_intact
            and head.body_bytes >= 0
            and self.keep
            and not extra
            and not self.head.is_http_1_0
        ):
            self.client.write(data)
        else:
            self.client.write(self._framed_head(head, extra) + self._framed(body, done))

    def write_body(self, body: bytes, done: bool) -> None:
        """Payload, written at once."""
        if self.held_stream is not None:
            self.held_stream.body(body, done)
            return
        out = self._framed(body, done)
        if out:
            self.client.write(out)

    def _framed_head(self, head: ResponseHead, extra: bytes) -> bytes:
        if head.is_chunked or head.is_delimited_by_close:
            if self.head.is_http_1_0:
                self.keep = False
            else:
                self._is_framed_anew = True
                extra += b"\r\nTransfer-Encoding: chunked"
        if not self.keep:
            extra += b"\r\nConnection: close"
        elif self.head.is_http_1_0:
            extra += b"\r\nConnection: keep-alive"
        return head.lines(extra)

    def _framed(self, body: bytes, done: bool) -> bytes:
        if not self._is_framed_anew:
            return body
        chunk = encode_chunk(body) if body else b""
        return chunk + LAST_CHUNK if done else chunk
