"""The narrow faces by which the parts of the data plane know each other; no behaviour."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from router.failure import Cause, Refusal
from router.response_head import ResponseHead

if TYPE_CHECKING:
    from router.exchange import Exchange


class UpstreamLink(Protocol):
    """A connection to an app, as an exchange sees it."""

    was_reused: bool

    def send(self, data: bytes) -> None: ...

    def end_of_request(self) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def start_tunnel(self) -> None: ...

    def half_close(self) -> None: ...

    def abort(self) -> None: ...


class Answering(Protocol):
    """Who waits for an app's answer: an exchange with a client, or a probe."""

    method: str

    def is_request_sent(self) -> bool:
        """Whether the app has been given the whole request, so that its connection is not owed bytes."""

    def informational(self, head: ResponseHead) -> None: ...

    def response_head(
        self, head: ResponseHead, data: bytes, body_start: int, body: bytes, done: bool
    ) -> None:
        """The final head; `data[body_start:]` is what was read behind it, `body` its payload."""

    def response_body(self, body: bytes, done: bool) -> None: ...

    def tunnel_bytes(self, data: bytes) -> None: ...

    def tunnel_ended(self) -> None: ...

    def upstream_lost(self, cause: Cause) -> None:
        """The connection ended before the answer was whole."""

    def upstream_writable(self, writable: bool) -> None: ...


class Waiting(Answering, Protocol):
    """Who waits for a connection."""

    first_byte_seconds: float
    may_repeat: bool  # sending the request twice has the effect of sending it once
    has_other_side: bool  # the request may go to the other side when this app cannot be reached

    def is_waiting(self) -> bool: ...

    def upstream_ready(self, link: UpstreamLink) -> None: ...

    def upstream_failed(self, cause: Cause) -> None: ...


class Tap(Protocol):
    """Listens to one exchange, for a copy of it; must be quick, keep little and never raise."""

    def request_body(self, data: bytes) -> None: ...

    def response_head(self, head: ResponseHead) -> None: ...

    def response_body(self, data: bytes) -> None: ...

    def finished(self) -> None:
        """The client has its answer, or never will."""


class ClientLink(Protocol):
    """The client's connection, as an exchange sees it."""

    def write(self, data: bytes) -> None: ...

    def keeps_alive(self) -> bool:
        """Whether another request may follow on this connection."""

    def continued(self) -> None:
        """The app itself has asked for the body."""

    def pause_body(self) -> None: ...

    def resume_body(self) -> None: ...

    def start_tunnel(self) -> None: ...

    def half_close(self) -> None: ...

    def close_within(self, seconds: float) -> None:
        """End the connection at the latest after this time."""

    def exchange_done(self, keep: bool) -> None:
        """The answer is written as a whole; `keep` says whether the connection stays."""

    def cut(self, *, with_reset: bool) -> None:
        """End in the middle of an answer, so that the client can tell."""


class ExchangeOwner(Protocol):
    """Who decides for an exchange."""

    def request_head_bytes(self, exchange: Exchange) -> bytes:
        """The head for the chosen app."""

    def response_lines(self, exchange: Exchange, head: ResponseHead) -> bytes:
        """Lines to add to the app's head, each with its leading CRLF; mostly none."""

    def attempt_failed(self, exchange: Exchange, cause: Cause) -> None:
        """No byte of an answer came; try again or refuse."""

    def reply(self, exchange: Exchange, refusal: Refusal, *, close: bool) -> tuple[int, bytes]:
        """Status and bytes of the router's own answer."""

    def error_body(self, exchange: Exchange, refusal: Refusal) -> bytes:
        """The body alone of the router's own answer."""

    def body_complete(self, exchange: Exchange) -> None:
        """A body that the owner collects has arrived."""

    def finished(self, exchange: Exchange) -> None:
        """The exchange has ended, well or not; called exactly once."""


class Timed(Protocol):
    """Something with a deadline on the loop's clock, in seconds; infinity for none."""

    deadline: float

    def deadline_passed(self, now: float) -> None: ...
