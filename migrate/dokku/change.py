"""What a plan is made of: differences, the commands that mend them, what they disturb, and notes; pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from migrate.dokku.argv import DokkuCommand
from migrate.dokku.desired import Value


class Effect(StrEnum):
    """What a change disturbs, from least to most."""

    NONE = "none"  # nothing that runs
    RELOAD = "reload"  # nginx reads its configuration again; no request is lost
    RESTART = "restart"  # new containers replace the old ones after their checks
    INTERRUPT = "interrupt"  # something answers nothing for a while


@dataclass(frozen=True, slots=True)
class Difference:
    """One property that is not as the manifest says. Secrets appear as hashes."""

    key: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Change:
    """Differences of one subject that the same commands mend.

    `restarts`: apps whose containers must be replaced afterwards for the change to act; `redeploys`:
    apps that the commands replace by themselves. `digests` are kept once the commands have succeeded.
    """

    subject: str
    differences: tuple[Difference, ...]
    commands: tuple[DokkuCommand, ...]
    effect: Effect = Effect.NONE
    restarts: frozenset[str] = frozenset()
    redeploys: frozenset[str] = frozenset()
    digests: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


class NoteKind(StrEnum):
    """Why something is said that no command of the plan mends."""

    WAITS = "waits"  # for a deploy, tables or a phase; nobody has to act now
    BLOCKED = "blocked"  # somebody has to act first
    UNMANAGED = "unmanaged"  # on the host, not in the manifest; left alone


@dataclass(frozen=True, slots=True)
class Note:
    """A remark about a subject, with what to do."""

    subject: str
    kind: NoteKind
    text: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Changes in the order in which they are carried out, and notes."""

    changes: tuple[Change, ...]
    notes: tuple[Note, ...]

    @property
    def is_empty(self) -> bool:
        """Whether the host is as the manifest says, as far as can be told."""
        return not self.changes and not self.blocked

    @property
    def blocked(self) -> tuple[Note, ...]:
        """Notes that need somebody to act."""
        return tuple(note for note in self.notes if note.kind is NoteKind.BLOCKED)

    @property
    def commands(self) -> tuple[DokkuCommand, ...]:
        """Every command in order."""
        return tuple(command for change in self.changes for command in change.commands)

    @property
    def effect(self) -> Effect:
        """The strongest effect of all changes."""
        order = list(Effect)
        return max((c.effect for c in self.changes), key=order.index, default=Effect.NONE)

    def touched(self) -> frozenset[str]:
        """Names that its commands name or replace: apps and stores among them are to be read again."""
        words = {word for command in self.commands for word in command.words}
        subjects = {change.subject.rpartition(" ")[2] for change in self.changes}
        return frozenset(words | subjects) | self.restarted()

    def restarted(self) -> frozenset[str]:
        """Apps whose containers the plan replaces."""
        names: frozenset[str] = frozenset()
        for change in self.changes:
            names |= change.redeploys
        return names


@dataclass(frozen=True, slots=True)
class Hashing:
    """Shows secrets as short keyed hashes: equal values look equal, and nothing can be guessed back."""

    key: bytes = field(repr=False)

    def show(self, value: Value | None) -> str:
        """Text of a value for a plan."""
        if value is None:
            return "(unset)"
        return self.digest(value.text) if value.is_secret else value.text

    def digest(self, text: str) -> str:
        """Eight hexadecimal digits."""
        return "#" + hashlib.blake2b(text.encode(), key=self.key, digest_size=4).hexdigest()
