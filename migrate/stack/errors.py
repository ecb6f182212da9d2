"""Errors of the local stack; each says what happened, where, and what to type next."""

from __future__ import annotations

from shared.errors import OperatorError


class StackError(OperatorError):
    """The local stack cannot do what was asked; `hint` is the next thing to type, if there is one."""

    def __init__(
        self, message: str, *, process: str | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message if hint is None else f"{message}\n{hint}")
        self.process = process
        self.hint = hint


class ProgramMissingError(StackError):
    """A server's programs are not on this machine and could not be installed."""


class ProcessFailedError(StackError):
    """A process ended, or was not ready before its deadline; `log_tail` is the end of its log."""

    def __init__(
        self, message: str, *, process: str, log_tail: str, hint: str | None = None
    ) -> None:
        shown = f"{message}\n--- end of its log ---\n{log_tail}" if log_tail else message
        super().__init__(shown, process=process, hint=hint)
        self.log_tail = log_tail


class SupervisorUnreachableError(StackError):
    """No supervisor answers for this directory."""
