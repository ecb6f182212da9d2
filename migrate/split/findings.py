"""What a look before the start finds: refusals, warnings and facts, each with what to do; pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Weight(StrEnum):
    """How much a finding weighs."""

    REFUSE = "refuse"  # going on would break something
    WARN = "warn"  # going on is safe if the operator knows about it
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding. `check` names the rule, `subject` the object, `advice` the next thing to do."""

    check: str
    weight: Weight
    subject: str
    message: str
    advice: str = ""

    def __str__(self) -> str:
        return f"{self.subject}: {self.message}" + (f"; {self.advice}" if self.advice else "")


def refusals(findings: Iterable[Finding]) -> list[Finding]:
    """Those that forbid to go on."""
    return [finding for finding in findings if finding.weight is Weight.REFUSE]


def sorted_findings(findings: Iterable[Finding]) -> list[Finding]:
    """The heaviest first."""
    order = list(Weight)
    return sorted(
        findings, key=lambda found: (order.index(found.weight), found.check, found.subject)
    )
