"""Which events exist: one JSON Schema of the data per type and version; reads files, knows no broker."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from jsonschema import Draft202012Validator

from shared.events.envelope import Event
from shared.events.errors import EventError, InvalidEventError, UnknownEventTypeError

#: At most so many problems of one event are reported.
MAX_PROBLEMS = 5

Schema = Mapping[str, Any]


@dataclass(frozen=True)
class Catalogue:
    """Schemas by name `<type>.v<version>`."""

    schemas: Mapping[str, Schema]

    @cached_property
    def types(self) -> Mapping[str, int]:
        """The newest known version of every type."""
        newest: dict[str, int] = {}
        for name in self.schemas:
            type_, version = split_name(name)
            newest[type_] = max(newest.get(type_, 0), version)
        return MappingProxyType(dict(sorted(newest.items())))

    @cached_property
    def _validators(self) -> dict[str, Draft202012Validator]:
        return {name: Draft202012Validator(schema) for name, schema in self.schemas.items()}

    def knows(self, type_: str, version: int) -> bool:
        """Whether the data of such an event can be understood."""
        return f"{type_}.v{version}" in self.schemas

    def check(self, event: Event) -> None:
        """Raises UnknownEventTypeError or InvalidEventError when an event is not in order."""
        validator = self._validators.get(f"{event.type}.v{event.version}")
        if validator is None:
            close = difflib.get_close_matches(event.type, self.types, n=3)
            raise UnknownEventTypeError(event.type, event.version, close)
        problems = [
            f"{'.'.join(str(part) for part in error.absolute_path) or 'data'}: {error.message}"
            for error in validator.iter_errors(event.data)
        ]
        if problems:
            raise InvalidEventError(event.type, event.version, problems[:MAX_PROBLEMS])


def split_name(name: str) -> tuple[str, int]:
    """`user.created.v1` as ("user.created", 1)."""
    type_, _, version = name.rpartition(".v")
    if not type_ or not version.isdecimal():
        raise EventError(f"{name!r} is not <type>.v<version>")
    return type_, int(version)


def read_schemas(texts: Mapping[str, str]) -> Catalogue:
    """A catalogue from JSON texts by name; raises EventError for a schema that is none."""
    schemas: dict[str, Schema] = {}
    for name, text in sorted(texts.items()):
        split_name(name)
        schema = json.loads(text)
        Draft202012Validator.check_schema(schema)
        if schema.get("type") != "object":
            raise EventError(f"{name}: the data of an event is an object")
        schemas[name] = schema
    return Catalogue(MappingProxyType(schemas))


@lru_cache(maxsize=1)
def shipped_catalogue() -> Catalogue:
    """The catalogue in `shared/events/schemas`, read once per process."""
    folder = files("shared.events") / "schemas"
    return read_schemas(
        {
            entry.name.removesuffix(".json"): entry.read_text(encoding="utf-8")
            for entry in folder.iterdir()
            if entry.name.endswith(".json")
        }
    )
