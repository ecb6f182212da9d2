"""The one table of exit codes of the command; knows no command."""

from __future__ import annotations

from enum import IntEnum

from shared.control.errors import (
    BarrierTimeoutError,
    IllegalChangeError,
    IllegalTransitionError,
    NotInitializedError,
    OperationRunningError,
    StaleVersionError,
    StoreUnreachableError,
    UnknownRouteError,
)
from shared.errors import PeerError, StranglerError
from shared.manifest import ManifestError


class ExitCode(IntEnum):
    """What the shell sees."""

    OK = 0  # done, or nothing to do
    FAILED = 1  # the command could not do what was asked
    USAGE = 2  # wrong words on the command line; for `plan`: there are differences
    REFUSED = 3  # the change would break an invariant or skip a state; nothing was changed
    UNREACHABLE = 4  # a server that the command needs does not answer
    NOT_APPLIED = 5  # the change stands, but not every live instance has applied it in time
    BUSY = 6  # another operation runs, or somebody changed the store in between
    INVALID = 7  # the manifest or an argument is wrong
    INTERRUPTED = 130  # Ctrl-C


_BY_ERROR: tuple[tuple[type[BaseException], ExitCode], ...] = (
    (BarrierTimeoutError, ExitCode.NOT_APPLIED),
    (IllegalChangeError, ExitCode.REFUSED),
    (IllegalTransitionError, ExitCode.REFUSED),
    (StaleVersionError, ExitCode.BUSY),
    (OperationRunningError, ExitCode.BUSY),
    (StoreUnreachableError, ExitCode.UNREACHABLE),
    (NotInitializedError, ExitCode.UNREACHABLE),
    (UnknownRouteError, ExitCode.INVALID),
    (ManifestError, ExitCode.INVALID),
    (PeerError, ExitCode.UNREACHABLE),
    (StranglerError, ExitCode.FAILED),
)


def exit_code(error: BaseException) -> ExitCode:
    """The exit code of an error; an error may bring its own as `exit_code`."""
    own = getattr(error, "exit_code", None)
    if isinstance(own, int):
        return ExitCode(own)
    return next((code for kind, code in _BY_ERROR if isinstance(error, kind)), ExitCode.FAILED)
