"""One thing that was looked at, and how it is."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

Level = Literal["ok", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Finding:
    """`message` says what is wrong and what to do; it never holds a secret."""

    level: Level
    subject: str
    message: str

    def as_row(self) -> dict[str, str]:
        return asdict(self)


def ok(subject: str, message: str) -> Finding:
    return Finding("ok", subject, message)


def warning(subject: str, message: str) -> Finding:
    return Finding("warning", subject, message)


def error(subject: str, message: str) -> Finding:
    return Finding("error", subject, message)
