"""The narrow faces by which the parts of the data plane know each other; no behaviour.

The ones of the hot path are base classes and not protocols: compiled code calls a method of a class through
a table, one of a protocol by its name, which cost a tenth of a request.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Protocol

from router.failure import Cause, Refusal
from router.response_head import ResponseHead

if TYPE_CHECKING:
    from router.exchange import Exchange


class UpstreamLink(ABC):
    """A connection to an app, as an exchange sees it."""

    was_reused: bool

    @abstractmethod
    def send(self, data: bytes) -> None: ...

    @abstractmethod
    def end_of_request(self) -> None: ...

    @abstractmethod
    def pause_reading(self) -> None: ...

    @abstractmethod
    def resume_reading(self) -> None: ...

    @abstractmethod
    def start_tunnel(self) -> None: ...

    @abstractmethod
    def half_close(self) -> None: ...

    @abstractmethod
    def abort(self) -> None: ...


class Answering(ABC):
    """Who waits for an app's answer: an exchange with a client, or a probe."""

    method: str

    @abstractmethod
    def is_request_sent(self) -> bool:
        """Whether the app has been given the whole request, so that its connection is not owed bytes."""

    @abstractmethod
    def informational(self, head: ResponseHead) -> None: ...

    @abstractmethod
    def response_head(
        self, head: ResponseHead, data: bytes, body_start: int, body: bytes, done: bool
    ) -> None:
        """The final head; `data[body_start:]` is what was read behind it, `body` its payload."""

    @abstractmethod
    def response_body(self, body: bytes, done: bool) -> None: ...

    @abstractmethod
    def tunnel_bytes(self, data: bytes) -> None: ...

    @abstractmethod
    def tunnel_ended(self) -> None: ...

    @abstractmethod
    def upstream_lost(self, cause: Cause) -> None:
        """The connection ended before the answer was whole."""

    @abstractmethod
    def upstream_writable(self, writable: bool) -> None: ...


class Waiting(Answering):
    """Who waits for a connection."""

    first_byte_seconds: float
    may_repeat: bool  # sending the request twice has the effect of sending it once
    has_other_side: bool  # the request may go to the other side when this app cannot be reached

    @abstractmethod
    def is_waiting(self) -> bool: ...

    @abstractmethod
    def upstream_ready(self, link: UpstreamLink) -> None: ...

    @abstractmethod
    def upstream_failed(self, cause: Cause) -> None: ...


class Tap(Protocol):
    """Listens to one exchange, for a copy of it; must be quick, keep little and never raise."""

    def request_body(self, data: bytes) -> None: ...

    def response_head(self, head: ResponseHead) -> None: ...

    def response_body(self, data: bytes) -> None: ...

    def finished(self) -> None:
        """The client has its answer, or never will."""


class ClientLink(ABC):
    """The client's connection, as an exchange sees it."""

    @abstractmethod
    def write(self, data: bytes) -> None: ...

    @abstractmethod
    def keeps_alive(self) -> bool:
        """Whether another request may follow on this connection."""

    @abstractmethod
    def continued(self) -> None:
        """The app itself has asked for the body."""

    @abstractmethod
    def pause_body(self) -> None: ...

    @abstractmethod
    def resume_body(self) -> None: ...

    @abstractmethod
    def start_tunnel(self) -> None: ...

    @abstractmethod
    def half_close(self) -> None: ...

    @abstractmethod
    def close_within(self, seconds: float) -> None:
        """End the connection at the latest after this time."""

    @abstractmethod
    def exchange_done(self, keep: bool) -> None:
        """The answer is written as a whole; `keep` says whether the connection stays."""

    @abstractmethod
    def cut(self, *, with_reset: bool) -> None:
        """End in the middle of an answer, so that the client can tell."""


class ExchangeOwner(ABC):
    """Who decides for an exchange."""

    @abstractmethod
    def request_head_bytes(self, exchange: Exchange) -> bytes:
        """The head for the chosen app."""

    @abstractmethod
    def response_lines(self, exchange: Exchange, head: ResponseHead) -> bytes:
        """Lines to add to the app's head, each with its leading CRLF; mostly none."""

    @abstractmethod
    def attempt_failed(self, exchange: Exchange, cause: Cause) -> None:
        """No byte of an answer came; try again or refuse."""

    @abstractmethod
    def reply(self, exchange: Exchange, refusal: Refusal, *, close: bool) -> tuple[int, bytes]:
        """Status and bytes of the router's own answer."""

    @abstractmethod
    def error_body(self, exchange: Exchange, refusal: Refusal) -> bytes:
        """The body alone of the router's own answer."""

    @abstractmethod
    def body_complete(self, exchange: Exchange) -> None:
        """A body that the owner collects has arrived."""

    @abstractmethod
    def finished(self, exchange: Exchange) -> None:
        """The exchange has ended, well or not; called exactly once."""


class Timed(Protocol):
    """Something with a deadline on the loop's clock, in seconds; infinity for none."""

    deadline: float

    def deadline_passed(self, now: float) -> None: ...
