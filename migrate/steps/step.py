"""What a step of a long operation is; knows no database and no command."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

#: The operation's own context: connections, names, what earlier steps have found out.
ContextT = TypeVar("ContextT")


@dataclass(frozen=True, slots=True)
class Check:
    """Whether the effect of a step is there, read from the systems themselves, never from memory."""

    is_done: bool
    detail: str = ""


def done(detail: str = "") -> Check:
    """The effect is there: applying would change nothing."""
    return Check(True, detail)


def needed(detail: str = "") -> Check:
    """The effect is not there."""
    return Check(False, detail)


class Step(ABC, Generic[ContextT]):
    """One thing that an operation does.

    `check` looks, `apply` does, `undo` takes back; all three may be repeated, and `apply` may be
    interrupted anywhere: running it again finishes. `apply` returns what the journal must remember.
    """

    name: str  # a word of the journal, unique in its plan
    title: str  # what an operator reads
    deadline_seconds: float = 30.0
    #: True while somebody waits for the operation: the journal's rows of an urgent step are
    #: written after the next step that is not urgent. Its effect must be readable without them.
    is_urgent: ClassVar[bool] = False

    @abstractmethod
    async def check(self, context: ContextT) -> Check:
        """Whether the effect is there."""

    @abstractmethod
    async def apply(self, context: ContextT) -> Mapping[str, Any] | None:
        """Bring the effect about; raises OperatorError or what the server raised."""

    async def undo(self, context: ContextT) -> None:
        """Take the effect back; nothing to do by default."""

    async def describe(self, context: ContextT) -> str:
        """One line for `--dry-run`, with live figures where there are any; changes nothing."""
        return self.title
