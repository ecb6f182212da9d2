"""What can be wrong with seed data; knows no database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shared.errors import OperatorError, PeerError

SHOWN_PROBLEMS = 10


@dataclass(frozen=True, slots=True)
class CatalogueProblem:
    """One line of a catalogue file that cannot be used."""

    file: str
    line: int
    message: str


class CatalogueError(OperatorError):
    """The catalogue files contradict each other or their format; nothing was loaded."""

    def __init__(self, problems: Sequence[CatalogueProblem]) -> None:
        shown = "\n".join(
            f"  {problem.file}:{problem.line}: {problem.message}"
            for problem in problems[:SHOWN_PROBLEMS]
        )
        super().__init__(
            f"{len(problems)} line(s) of the catalogue cannot be used, nothing was loaded:\n"
            f"{shown}\ncorrect them and run `migrate seed` again"
        )
        self.problems = tuple(problems)


class AlreadySeededError(OperatorError):
    """A random seed makes one set of people; this one has made another number of them before."""

    def __init__(self, random_seed: int, there: int, wanted: int) -> None:
        super().__init__(
            f"random seed {random_seed} has already made {there} people in this database, not"
            f" {wanted}; nothing was changed. For further people take another seed:"
            f" `migrate seed --users {wanted} --random-seed {random_seed + 1}`"
        )
        self.random_seed = random_seed
        self.there = there
        self.wanted = wanted


class SeedDatabaseError(PeerError):
    """The database to fill does not answer."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"the database to fill does not answer ({reason}); look at `migrate status`, or name"
            " another one with `migrate seed --database URL`"
        )
        self.reason = reason


class SeedRefusedError(OperatorError):
    """The database is not in a state in which it can be filled; nothing was changed."""

    def __init__(self, reason: str, next_step: str) -> None:
        super().__init__(f"{reason}; nothing was changed. {next_step}")
        self.reason = reason
