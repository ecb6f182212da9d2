"""What can go wrong with events, by who must act; knows no broker and no SQL."""

from __future__ import annotations

from collections.abc import Sequence

from shared.errors import OperatorError, PeerError


class EventError(OperatorError):
    """An event or the events' configuration is wrong; trying again does not help."""


class UnreadableEventError(EventError):
    """The body of a message is not an event of the contract (or of a version that is not known)."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the message is not an event that can be handled: {reason}")
        self.reason = reason


class UnknownEventTypeError(EventError):
    """A type that the catalogue does not have."""

    def __init__(self, type_: str, version: int, close: Sequence[str] = ()) -> None:
        hint = f"; did you mean {', '.join(close)}?" if close else ""
        super().__init__(
            f"there is no event {type_} version {version} in the catalogue{hint}"
            f" (add shared/events/schemas/{type_}.v{version}.json and run"
            " `migrate events schemas release`)"
        )
        self.type = type_
        self.version = version


class InvalidEventError(EventError):
    """The data of an event does not fit its schema; nothing was stored."""

    def __init__(self, type_: str, version: int, problems: Sequence[str]) -> None:
        super().__init__(f"data of {type_} version {version}: {'; '.join(problems)}")
        self.type = type_
        self.version = version
        self.problems = tuple(problems)


class EventTooLargeError(EventError):
    """An event is larger than the outbox takes."""

    def __init__(self, type_: str, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(
            f"an event {type_} of {size_bytes} bytes is above the limit of {limit_bytes};"
            " put the bulk into a table or blob and its id into the event"
        )
        self.size_bytes = size_bytes


class OutsideTransactionError(EventError):
    """`outbox.add` was called without a transaction, so event and change could part ways."""

    def __init__(self) -> None:
        super().__init__(
            "outbox.add needs the transaction of the change that the event tells of;"
            " call it inside Database.transaction(work)"
        )


class BrokerError(PeerError):
    """The broker failed or is not reachable; trying again later may help."""


class BrokerLostError(BrokerError):
    """The connection or channel ended before the broker answered."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"the broker connection was lost ({reason}); it is opened again by itself,"
            " `migrate events doctor` says why if it is not"
        )
        self.reason = reason


class TopologyError(EventError):
    """Exchanges or queues on the broker differ from what this version needs."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__(
            "the broker's topology differs:\n"
            + "\n".join(f"  {problem}" for problem in problems)
            + "\nsee `migrate events topology` for the way out"
        )
        self.problems = tuple(problems)
