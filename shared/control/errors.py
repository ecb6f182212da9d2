"""What can go wrong with the control store, with fields that tests and the CLI read."""

from __future__ import annotations

from shared.errors import OperatorError
from shared.states import Violation


class ControlError(OperatorError):
    """Something about the control store that an operator must see."""


class IllegalChangeError(ControlError):
    """The change would break an invariant; nothing was changed."""

    def __init__(self, broken: tuple[Violation, ...]) -> None:
        super().__init__("; ".join(violation.message for violation in broken))
        self.broken = broken


class IllegalTransitionError(ControlError):
    """A placement or phase cannot go from one state to the other; nothing was changed."""

    def __init__(self, subject: str, before: str, after: str, allowed: frozenset[str]) -> None:
        choices = ", ".join(sorted(allowed)) or "none"
        super().__init__(
            f"{subject} is {before} and cannot become {after}; allowed next states: {choices}"
        )
        self.subject = subject
        self.before = before
        self.after = after


class UnknownRouteError(ControlError):
    """A change names a route, service or phase that the control store does not have."""

    def __init__(self, kind: str, name: str, close: tuple[str, ...] = ()) -> None:
        hint = f"; did you mean {', '.join(close)}?" if close else ""
        super().__init__(
            f"there is no {kind} {name!r}{hint}"
            " (new entries of the manifest are registered by `migrate db migrate`)"
        )
        self.kind = kind
        self.name = name


class StaleVersionError(ControlError):
    """Somebody else changed the store since the given version was read; nothing was changed."""

    def __init__(self, expected: int, actual: int) -> None:
        super().__init__(
            f"the control store is at version {actual}, not {expected}: somebody changed it"
            " in between; look at `migrate history` and try again"
        )
        self.expected = expected
        self.actual = actual


class NotInitializedError(ControlError):
    """The database has no schema `strangler`."""

    def __init__(self) -> None:
        super().__init__(
            "the shared database has no control store yet; run `migrate db migrate` first"
        )


class StoreUnreachableError(ControlError):
    """The shared database does not answer."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"the control store does not answer ({reason});"
            " check SHARED_DATABASE_URL and that PostgreSQL runs (`migrate status`)"
        )
        self.reason = reason


class OperationRunningError(ControlError):
    """Another operation on the same service holds the lock."""

    def __init__(self, subject: str) -> None:
        super().__init__(
            f"another operation on {subject} is running; see `migrate history {subject}`"
            " and wait for it, or stop it first"
        )
        self.subject = subject


class BarrierTimeoutError(ControlError):
    """Some live instances did not apply a version in time."""

    def __init__(self, version: int, waiting: tuple[str, ...], seconds: float) -> None:
        super().__init__(
            f"version {version} was not applied within {seconds:g} s by: {', '.join(waiting)};"
            " the change stands and they will follow when they reach the database."
            " An instance that is gone for good is removed by `migrate instances forget ID`"
        )
        self.version = version
        self.waiting = waiting
