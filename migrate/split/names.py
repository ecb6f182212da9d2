"""Every name that a split gives to something in a database; pure."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from enum import StrEnum

#: What PostgreSQL accepts in the name of a replication slot.
_SLOT_LETTERS = re.compile(r"[^a-z0-9_]")


class Side(StrEnum):
    """The two databases of a split, by the words of placements."""

    SHARED = "shared"
    OWN = "own"

    @property
    def other(self) -> Side:
        return Side.OWN if self is Side.SHARED else Side.SHARED


class Direction(StrEnum):
    """Which way ownership goes, or rows flow."""

    FORWARD = "forward"  # shared -> own
    REVERSE = "reverse"  # own -> shared

    @property
    def source(self) -> Side:
        """The side that loses ownership, or that rows come from."""
        return Side.SHARED if self is Direction.FORWARD else Side.OWN

    @property
    def target(self) -> Side:
        return self.source.other

    @property
    def opposite(self) -> Direction:
        return Direction.REVERSE if self is Direction.FORWARD else Direction.FORWARD


def quote(identifier: str) -> str:
    """A quoted identifier."""
    return '"' + identifier.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A quoted string constant; refuses what standard_conforming_strings does not make harmless."""
    if "\x00" in text:
        raise ValueError("a string constant cannot hold a zero byte")
    prefix = " E" if "\\" in text else ""
    return prefix + "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


@dataclass(frozen=True, slots=True, order=True)
class TableName:
    """A table by schema and name."""

    schema: str
    name: str

    @classmethod
    def parse(cls, text: str) -> TableName:
        """`chat.messages` or `messages` (which is `public.messages`)."""
        schema, dot, name = text.rpartition(".")
        return cls(schema if dot else "public", name)

    @property
    def sql(self) -> str:
        """Quoted for a statement."""
        return f"{quote(self.schema)}.{quote(self.name)}"

    def __str__(self) -> str:
        return self.name if self.schema == "public" else f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True)
class Names:
    """Names of one service's split; `tag` keeps two projects on one server apart."""

    service: str
    tag: str

    @classmethod
    def of(cls, service: str, shared_identity: str, own_identity: str) -> Names:
        """The identities are system identifier and database name of the two sides."""
        digest = hashlib.sha256(f"{shared_identity}\n{own_identity}".encode()).hexdigest()
        return cls(service, digest[:8])

    @property
    def schema(self) -> str:
        """Schema of everything that a split keeps, on both sides."""
        return f"_split_{self.service}"

    @property
    def fence_trigger(self) -> str:
        """Sorts after the table's own BEFORE triggers, so that it judges last."""
        return f"zz_split_fence_{self.service}"

    @property
    def canary(self) -> TableName:
        return TableName(self.schema, "canary")

    @property
    def token(self) -> TableName:
        return TableName(self.schema, "token")

    @property
    def command(self) -> TableName:
        return TableName(self.schema, "command")

    @property
    def advisory_key(self) -> int:
        """Key of the lock at which the apply worker can be stopped for a moment."""
        return int(hashlib.sha256(self.schema.encode()).hexdigest()[:15], 16)

    def relation(self, name: str) -> str:
        """A quoted relation or function of the split's schema."""
        return f"{quote(self.schema)}.{quote(name)}"

    def publication(self, direction: Direction) -> str:
        return f"split_{self.service}_{direction}"

    def subscription(self, direction: Direction) -> str:
        """Lives on the target of the direction."""
        return self.slot(direction)

    def slot(self, direction: Direction) -> str:
        """Lives on the source of the direction; unique in a cluster that has both databases."""
        return f"split_{_SLOT_LETTERS.sub('_', self.service.lower())}_{direction}_{self.tag}"
