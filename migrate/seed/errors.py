"""What can be wrong with seed data; knows no database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shared.errors import OperatorError

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
