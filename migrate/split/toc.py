"""Reads the table of contents of a schema dump and picks what a set of tables needs; pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum

#: pg_class, the catalogue of tables, sequences, views and indexes.
PG_CLASS = 1259

#: What pg_restore calls the kinds of entries, several words first, so that the longest match wins.
KINDS = (
    "ACCESS METHOD", "CHECK CONSTRAINT", "DATABASE PROPERTIES", "DEFAULT ACL", "EVENT TRIGGER",
    "FK CONSTRAINT", "FOREIGN DATA WRAPPER", "FOREIGN SERVER", "FOREIGN TABLE", "INDEX ATTACH",
    "LARGE OBJECT", "MATERIALIZED VIEW DATA", "MATERIALIZED VIEW", "OPERATOR CLASS",
    "OPERATOR FAMILY", "PROCEDURAL LANGUAGE", "PUBLICATION TABLES IN SCHEMA", "PUBLICATION TABLE",
    "ROW SECURITY", "SECURITY LABEL", "SEQUENCE OWNED BY", "SEQUENCE SET", "SHELL TYPE",
    "SUBSCRIPTION TABLE", "TABLE ATTACH", "TABLE DATA", "TEXT SEARCH CONFIGURATION",
    "TEXT SEARCH DICTIONARY", "TEXT SEARCH PARSER", "TEXT SEARCH TEMPLATE", "USER MAPPING",
)  # fmt: skip

_ENTRY = re.compile(r"^(\d+); (\d+) (\d+) (.*)$")
_DEPENDS = re.compile(r"^;\s+depends on: (.*)$")


class Round(IntEnum):
    """When an entry is created on the target."""

    BEFORE_COPY = 1  # schemas, extensions, types, functions, sequences, tables, defaults
    AFTER_COPY = 2  # keys: what the apply worker finds rows by, built faster on a full table
    AFTER_CATCH_UP = 3  # everything that only makes reading faster or writing safer


#: Kinds that hang on a table and are created with it, and when.
ATTACHED: Mapping[str, Round] = {
    "DEFAULT": Round.BEFORE_COPY,
    "SEQUENCE": Round.BEFORE_COPY,
    "SEQUENCE OWNED BY": Round.BEFORE_COPY,
    "TABLE ATTACH": Round.BEFORE_COPY,
    "CONSTRAINT": Round.AFTER_COPY,
    "CHECK CONSTRAINT": Round.AFTER_COPY,
    "INDEX": Round.AFTER_CATCH_UP,
    "INDEX ATTACH": Round.AFTER_CATCH_UP,
    "STATISTICS": Round.AFTER_CATCH_UP,
    "FK CONSTRAINT": Round.AFTER_CATCH_UP,
    "TRIGGER": Round.AFTER_CATCH_UP,
    "RULE": Round.AFTER_CATCH_UP,
    "ROW SECURITY": Round.AFTER_CATCH_UP,
    "POLICY": Round.AFTER_CATCH_UP,
    "COMMENT": Round.AFTER_CATCH_UP,
    "ACL": Round.AFTER_CATCH_UP,
}
#: Kinds that hold rows or show them: never pulled in by a dependency.
RELATIONS = frozenset({"TABLE", "VIEW", "MATERIALIZED VIEW", "FOREIGN TABLE"})
#: Kinds that are never wanted.
EXCLUDED = frozenset(
    {
        "ENCODING",
        "STDSTRINGS",
        "SEARCHPATH",
        "DATABASE",
        "DATABASE PROPERTIES",
        "EVENT TRIGGER",
        "PUBLICATION",
        "PUBLICATION TABLE",
        "PUBLICATION TABLES IN SCHEMA",
        "SUBSCRIPTION",
        "SUBSCRIPTION TABLE",
        "TABLE DATA",
        "SEQUENCE SET",
        "DEFAULT ACL",
        "SECURITY LABEL",
    }
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry: `catalogue` and `oid` name the object in the dumped database (0: none)."""

    id: int
    catalogue: int
    oid: int
    kind: str
    label: str  # schema, name and owner as pg_restore prints them
    depends: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Selection:
    """Entries to create, by round and in the order of the dump, and what was left out and why."""

    rounds: Mapping[Round, tuple[Entry, ...]]
    cut: tuple[tuple[Entry, str], ...]

    @property
    def entries(self) -> tuple[Entry, ...]:
        return tuple(entry for number in sorted(self.rounds) for entry in self.rounds[number])


def parse_toc(text: str) -> dict[int, Entry]:
    """Entries of `pg_restore -l -v` by id, in the order of the dump."""
    entries: dict[int, Entry] = {}
    last: Entry | None = None
    for line in text.splitlines():
        if found := _ENTRY.match(line):
            kind, label = _split_kind(found[4])
            last = Entry(int(found[1]), int(found[2]), int(found[3]), kind, label)
            entries[last.id] = last
        elif (found := _DEPENDS.match(line)) and last is not None:
            depends = tuple(dict.fromkeys(int(number) for number in found[1].split()))
            entries[last.id] = Entry(
                last.id, last.catalogue, last.oid, last.kind, last.label, depends
            )
    return entries


def _split_kind(text: str) -> tuple[str, str]:
    for kind in KINDS:
        if text.startswith(kind + " "):
            return kind, text[len(kind) + 1 :]
    kind, _, label = text.partition(" ")
    return kind, label


def select(
    entries: Mapping[int, Entry], tables: Iterable[int], early_indexes: Iterable[int] = ()
) -> Selection:
    """What must be created for the tables with these oids.

    Starts from the tables, adds what hangs on them, and closes over dependencies. An entry whose
    dependency is a relation outside the set is cut: a foreign key that crosses the boundary, a
    policy that looks at somebody else's table. `early_indexes` (oids) are needed right after the
    copy: a replica identity that is not a key.
    """
    wanted_oids, early = set(tables), set(early_indexes)
    chosen = {
        entry.id
        for entry in entries.values()
        if entry.kind == "TABLE" and entry.catalogue == PG_CLASS and entry.oid in wanted_oids
    }
    _close(entries, chosen)
    cut: dict[int, str] = {}
    added = True
    while added:  # what hangs on what was added: the comment of an index, a sequence's owner
        added = False
        for entry in entries.values():
            if entry.id in chosen or entry.id in cut or not _hangs_on(entry, chosen):
                continue
            outside = _outside(entries, entry, chosen)
            if outside is not None:
                cut[entry.id] = f"needs {outside.kind.lower()} {outside.label}, which does not move"
                continue
            chosen.add(entry.id)
            _close(entries, chosen)
            added = True
    rounds: dict[Round, list[Entry]] = {number: [] for number in Round}
    for entry in entries.values():
        if entry.id in chosen:
            is_early = entry.kind == "INDEX" and entry.oid in early
            number = ATTACHED.get(entry.kind, Round.BEFORE_COPY)
            rounds[Round.AFTER_COPY if is_early else number].append(entry)
    return Selection(
        {number: tuple(found) for number, found in rounds.items()},
        tuple((entries[number], reason) for number, reason in cut.items()),
    )


def _hangs_on(entry: Entry, chosen: set[int]) -> bool:
    return entry.kind in ATTACHED and any(number in chosen for number in entry.depends)


def _outside(entries: Mapping[int, Entry], entry: Entry, chosen: set[int]) -> Entry | None:
    """A relation that the entry needs, directly or not, and that is not in the set."""
    seen: set[int] = set()
    queue = list(entry.depends)
    while queue:
        number = queue.pop()
        other = entries.get(number)
        if other is None or number in seen or number in chosen:
            continue
        seen.add(number)
        if other.kind in RELATIONS:
            return other
        queue.extend(other.depends)
    return None


def _close(entries: Mapping[int, Entry], chosen: set[int]) -> None:
    """Add every dependency that is not a relation."""
    queue = list(chosen)
    while queue:
        for number in entries[queue.pop()].depends:
            other = entries.get(number)
            if other is None or number in chosen:
                continue
            if other.kind in RELATIONS or other.kind in EXCLUDED:
                continue
            chosen.add(number)
            queue.append(number)


def use_list(selected: Iterable[Entry]) -> str:
    """The file for `pg_restore -L`."""
    return "".join(
        f"{entry.id}; {entry.catalogue} {entry.oid} {entry.kind}\n" for entry in selected
    )
