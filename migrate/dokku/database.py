"""What a PostgreSQL store looks like inside: the SQL that asks, and the answer as frozen values; pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files

#: Start of the lines of the probe that carry an answer.
MARK = "strangler-probe:"


@dataclass(frozen=True, slots=True)
class Relation:
    """A table, view or sequence; `of` is the table that a sequence belongs to."""

    schema: str
    name: str
    kind: str
    owner: str
    of: str
    grants: Mapping[str, frozenset[str]]

    @property
    def is_sequence(self) -> bool:
        return self.kind == "S"


@dataclass(frozen=True, slots=True)
class Function:
    """A function with its arguments, and who may execute it (`public` for everybody)."""

    schema: str
    name: str
    arguments: str
    grants: frozenset[str]


@dataclass(frozen=True, slots=True)
class Role:
    """A login role; `verifier` is what the server keeps instead of the password."""

    name: str
    is_plain: bool
    verifier: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Setting:
    """A server setting as SHOW prints it, and what the configuration files ask for."""

    shown: str
    source: str
    needs_start: bool
    written: str


@dataclass(frozen=True, slots=True)
class DatabaseState:
    """What the probe found. `schemas` and `database` have privileges by role."""

    settings: Mapping[str, Setting]
    roles: Mapping[str, Role]
    relations: tuple[Relation, ...]
    functions: tuple[Function, ...]
    schemas: Mapping[str, Mapping[str, frozenset[str]]]
    database: Mapping[str, frozenset[str]]
    name: str


def probe_sql(settings: Iterable[str], roles: Iterable[str], schemas: Iterable[str]) -> str:
    """SQL whose output `parse_probe` reads; it changes nothing."""
    text = (files("migrate.dokku") / "probe.sql").read_text(encoding="utf-8")
    for place, value in (
        ("@mark@", MARK),
        ("@settings@", _array(settings)),
        ("@roles@", _array(roles)),
        ("@schemas@", _array(schemas)),
    ):
        text = text.replace(place, value)
    return text


def parse_probe(text: str) -> DatabaseState:
    """The state behind the probe's output, whatever psql prints around it."""
    head: dict[str, object] = {}
    relations: list[Relation] = []
    functions: list[Function] = []
    for line in text.splitlines():
        place = line.find(MARK)
        if place < 0:
            continue
        row = json.loads(line[place + len(MARK) :].rstrip(" +"))
        if "relation" in row:
            schema, name, kind, owner, of, grants = row["relation"]
            relations.append(Relation(schema, name, kind, owner, of, _grants(grants)))
        elif "function" in row:
            schema, name, arguments, grants = row["function"]
            functions.append(Function(schema, name, arguments, frozenset(grants)))
        else:
            head = row
    settings: Mapping[str, Sequence[object]] = head.get("settings") or {}  # type: ignore[assignment]
    roles: Mapping[str, Sequence[object]] = head.get("roles") or {}  # type: ignore[assignment]
    schemas: Mapping[str, Mapping[str, list[str]]] = head.get("schemas") or {}  # type: ignore[assignment]
    return DatabaseState(
        settings={
            name: Setting(str(row[0]), str(row[1]), row[2] is True, str(row[3]))
            for name, row in settings.items()
        },
        roles={name: Role(name, row[0] is True, str(row[1])) for name, row in roles.items()},
        relations=tuple(relations),
        functions=tuple(functions),
        schemas={name: _grants(grants) for name, grants in schemas.items()},
        database=_grants(head.get("database") or {}),  # type: ignore[arg-type]
        name=str(head.get("name", "")),
    )


def _grants(raw: Mapping[str, Sequence[str]]) -> dict[str, frozenset[str]]:
    return {who: frozenset(what) for who, what in raw.items()}


def _array(items: Iterable[str]) -> str:
    return f"ARRAY[{', '.join(literal(item) for item in sorted(set(items)))}]::text[]"


def literal(text: str) -> str:
    """A string constant."""
    return "'" + text.replace("'", "''") + "'"
