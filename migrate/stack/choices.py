"""What an operator chose for a local stack beyond its defaults; remembered in the stack's state. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from migrate.stack.errors import StackError
from migrate.stack.state import StackState

ALL_SERVICES = "all"


@dataclass(frozen=True, slots=True)
class Choices:
    """None: as remembered. `only` empty means every service."""

    only: tuple[str, ...] | None = None
    stand_ins: bool | None = None

    def over(self, state: StackState) -> StackState:
        """The remembered state with these choices in it."""
        chosen = {"only": self.only, "stand_ins": self.stand_ins}
        update = {name: value for name, value in chosen.items() if value is not None}
        return state.model_copy(update=update) if update else state


def chosen_services(known: Sequence[str], asked: Collection[str]) -> tuple[str, ...]:
    """The named services in the manifest's order, () for all. Raises StackError for a stranger."""
    unknown = sorted(set(asked) - {*known, ALL_SERVICES})
    if unknown:
        raise StackError(
            f"{', '.join(unknown)}: no such service",
            hint=f"choose among {', '.join((*known, ALL_SERVICES))}",
        )
    if ALL_SERVICES in asked or set(asked) == set(known):
        return ()
    return tuple(name for name in known if name in asked)
