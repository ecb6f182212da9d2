"""One request and its answer: joins a client's connection and an app's, whatever decides between them.

Knows no routes and no flags. Its owner chooses the app, hears of failed attempts and of the end.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from router.answer_writer import AnswerWriter
from router.failure import Cause, Refusal
from router.outgoing import Outgoing
from router.request_head import RequestHead
from router.response_head import ResponseHead
from router.seams import ClientLink, ExchangeOwner, Tap, UpstreamLink
from router.trust import Forwarded
from router.tunnel import Tunnel, is_handshake
from shared.routing.decision import Decision
from shared.routing.routes import RouteMatch
from shared.routing.sticky import MAX_KEY_BODY_BYTES

if TYPE_CHECKING:
    from router.routing import RouteRuntime
    from router.upstreams import Upstream

#: A body is collected for its sticky key up to this size; a longer one is sent on as it comes.
MAX_COLLECTED_BYTES: Final = MAX_KEY_BODY_BYTES
#: An unread body up to this size is read to its end after a refusal; a longer one ends the connection.
MAX_SWALLOWED_BYTES: Final = 64 * 1024
#: Status of the log when the client left before its answer (nginx's).
CLIENT_CLOSED_STATUS: Final = 499
_UPGRADED: Final = b"\r\nConnection: Upgrade\r\nUpgrade: websocket"


class Exchange(AnswerWriter):
    """State of one request.

    The owner's: `decision`, `upstream`, `attempt`, `may_repeat`, `has_other_side`, `is_retry`,
    `extra_request_lines`, `extra_response_lines`, `first_byte_seconds`, `task`.
    """

    def __init__(
        self,
        client: ClientLink,
        owner: ExchangeOwner,
        head: RequestHead,
        request_id: bytes,
        started: float,
        route: RouteRuntime,
        match: RouteMatch | None,
        forwarded: Forwarded,
    ) -> None:
        super().__init__(client, head)
        self.owner = owner
        self.method = head.method
        self.request_id = request_id
        self.started = started
        self.route = route
        self.match = match
        self.forwarded = forwarded
        self.first_byte_seconds = 60.0
        self.decision: Decision | None = None
        self.upstream: Upstream | None = None
        self.task: asyncio.Task[None] | None = None
        self.attempt = 0
        self.may_repeat = False
        self.has_other_side = False
        self.is_retry = False
        self.is_deliberate = False
        self.used_kept_connection = False
        self.extra_request_lines = b""
        self.extra_response_lines = b""
        self.link: UpstreamLink | None = None
        self.tunnel: Tunnel | None = None
        self.tap: Tap | None = None
        self.status = 0
        self.cause = Cause.NONE
        self.tunnel_bytes_in = 0
        self.response_bytes = 0
        self.body_is_complete = not head.has_body
        self.outgoing = Outgoing(is_chunked=head.is_chunked) if head.has_body else None
        self.collects_body = False
        self.has_answer = False
        self.is_finished = False

    # ---- the request ------------------------------------------------------------------------------

    def request_body(self, data: bytes, done: bool) -> None:
        """Payload from the client, maybe empty when `done`."""
        out = self.outgoing
        if out is None:
            return
        out.receive(data, done)
        if done:
            self.body_is_complete = True
        if self.is_finished:
            return
        if self.tap is not None:
            self.tap.request_body(data)
        link = self.link
        if link is not None:
            link.send(out.send(data, done))
            if done:
                link.end_of_request()
            return
        out.wait(data)
        if not self.collects_body:
            self.client.pause_body()
        elif done or out.received > MAX_COLLECTED_BYTES:
            self.collects_body = False
            self.owner.body_complete(self)

    def collected_body(self) -> bytes:
        """The whole body of an exchange that collects it."""
        return self.outgoing.waiting() if self.outgoing is not None else b""

    @property
    def request_bytes(self) -> int:
        """Payload that the client has sent so far."""
        received = self.outgoing.received if self.outgoing is not None else 0
        return received + self.tunnel_bytes_in

    @property
    def can_replay(self) -> bool:
        """Whether the request can be sent again from its first byte."""
        if self.has_answer or self.is_finished:
            return False
        return self.outgoing is None or self.outgoing.can_replay

    def is_waiting(self) -> bool:
        return not self.is_finished and self.link is None

    def is_request_sent(self) -> bool:
        return self.outgoing is None or self.outgoing.is_sent

    def upstream_ready(self, link: UpstreamLink) -> None:
        """A connection to the chosen app: send what there is of the request."""
        self.link = link
        self.used_kept_connection = link.was_reused
        head = self.owner.request_head_bytes(self)
        out = self.outgoing
        if out is None:
            link.send(head)
            return
        link.send(head + out.send_waiting())
        if not self.body_is_complete:
            self.client.resume_body()

    def upstream_failed(self, cause: Cause) -> None:
        """No connection could be made."""
        self.owner.attempt_failed(self, cause)

    def prepare_retry(self) -> None:
        """Go back to the first byte for another attempt; only when `can_replay`."""
        self.link = None
        self.used_kept_connection = False
        if self.outgoing is not None:
            self.outgoing.rewind()

    # ---- the answer -------------------------------------------------------------------------------

    def informational(self, head: ResponseHead) -> None:
        """1xx passes to clients that know it (RFC 9110 section 15.2)."""
        if self.head.is_http_1_0 or self.is_finished or self.held_stream is not None:
            return
        if head.status == 100:
            self.client.continued()
        self.client.write(head.lines(b""))

    def response_head(
        self, head: ResponseHead, data: bytes, body_start: int, body: bytes, done: bool
    ) -> None:
        """The final head with what came behind it; `data[body_start:]` is the raw form of `body`."""
        if head.status == 101:
            self._open_tunnel(head, body)
            return
        self.has_answer = True
        if self.outgoing is not None:
            self.outgoing.forget()
        self.status = head.status
        if head.status >= 500:
            self.is_deliberate = b"retry-after" in head.fields
        self.response_bytes = len(body)
        if self.tap is not None:
            self.tap.response_head(head)
            self.tap.response_body(body)
        self.keep = self.body_is_complete and self.may_stay
        self.write_head(head, data, body, done, self.owner.response_lines(self, head))
        if done:
            self._end(Cause.NONE)

    def response_body(self, body: bytes, done: bool) -> None:
        """Payload of the answer."""
        if self.is_finished:
            return
        self.response_bytes += len(body)
        if self.tap is not None:
            self.tap.response_body(body)
        self.write_body(body, done)
        if done:
            self._end(Cause.NONE)

    def refuse(self, refusal: Refusal) -> None:
        """Answer by the router itself; nothing of an app's answer was written."""
        if self.is_finished:
            return
        self._drop_link()
        swallows = self.body_is_complete or (
            0 <= self.head.content_length <= MAX_SWALLOWED_BYTES and not self.head.expects_continue
        )
        keep = self.keep = swallows and self.may_stay and not refusal.close
        self.has_answer = True
        self.status, data = self.owner.reply(self, refusal, close=not keep)
        if self.held_stream is not None:
            self.held_stream.error(self.owner.error_body(self, refusal))
        else:
            self.client.write(data)
        self._end(refusal.cause)

    def answer(self, status: int, data: bytes) -> None:
        """A whole answer made by the owner, without an app."""
        self.status = status
        self.has_answer = True
        self.keep = self.body_is_complete and self.may_stay
        self.client.write(data)
        self._end(Cause.NONE)

    # ---- tunnels ----------------------------------------------------------------------------------

    def _open_tunnel(self, head: ResponseHead, early: bytes) -> None:
        """Only after a 101 that answers this very handshake."""
        link = self.link
        if link is None or not is_handshake(self.head, head):
            self._drop_link()
            self.owner.attempt_failed(self, Cause.UPSTREAM_GARBAGE)
            return
        self.has_answer = True
        self.keep = False
        self.status = 101
        self.tunnel = Tunnel(self.client, link)
        link.start_tunnel()
        extra = self.owner.response_lines(self, head)
        self.client.write(head.lines(extra + _UPGRADED))
        self.client.start_tunnel()
        if early:
            self.tunnel_bytes(early)

    def client_tunnel_bytes(self, data: bytes) -> None:
        self.tunnel_bytes_in += len(data)
        if self.tunnel is not None and not self.tunnel.from_client(data):
            self.tunnel_ended()

    def client_tunnel_ended(self) -> None:
        """The client's half is closed."""
        if self.link is not None:
            self.link.half_close()

    def tunnel_bytes(self, data: bytes) -> None:
        self.response_bytes += len(data)
        if self.tunnel is not None:
            self.tunnel.from_app(data)

    def tunnel_ended(self) -> None:
        """The app's half is closed, or the farewell is done: what was written is delivered first."""
        self._drop_link()
        if not self.is_finished:
            self._end(Cause.NONE)

    # ---- the end ----------------------------------------------------------------------------------

    def upstream_lost(self, cause: Cause) -> None:
        self.link = None
        if self.is_finished:
            return
        if self.tunnel is not None:
            self._end(Cause.NONE)
        elif self.has_answer:
            self.cut(cause)
        else:
            self.owner.attempt_failed(self, cause)

    def upstream_writable(self, writable: bool) -> None:
        if writable:
            self.client.resume_body()
        else:
            self.client.pause_body()

    def client_writable(self, writable: bool) -> None:
        if self.link is not None:
            if writable:
                self.link.resume_reading()
            else:
                self.link.pause_reading()

    def client_gone(self, cause: Cause) -> None:
        """The client left or must leave: stop the app's work too, it costs money."""
        if self.is_finished:
            return
        self._drop_link()
        if self.tunnel is None:
            self.cause = cause
        if not self.has_answer:
            self.status = CLIENT_CLOSED_STATUS
        self._finish()

    def cut(self, cause: Cause) -> None:
        """The answer cannot be completed: end so that the client can tell (RFC 9112 section 8)."""
        if self.is_finished:
            return
        self._drop_link()
        self.cause = cause
        self._finish()
        self.client.cut(with_reset=not self.shows_its_end)

    def _drop_link(self) -> None:
        link, self.link = self.link, None
        if link is not None:
            link.abort()

    def _end(self, cause: Cause) -> None:
        self.cause = cause
        self.link = None
        self._finish()
        self.client.exchange_done(self.keep)

    def _finish(self) -> None:
        self.is_finished = True
        if self.outgoing is not None:
            self.outgoing.drop()
        task, self.task = self.task, None
        if task is not None:
            task.cancel()
        self.owner.finished(self)
        tap, self.tap = self.tap, None
        if tap is not None:
            tap.finished()
