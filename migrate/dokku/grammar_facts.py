"""Facts about Dokku's commands as frozen values, read from `grammar.json` (Dokku 0.38.27 and plugins); pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Literal

from pydantic import BaseModel, ConfigDict


class _Fact(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Argument(_Fact):
    """One positional argument."""

    name: str
    optional: bool = False
    repeatable: bool = False
    values: tuple[str, ...] = ()
    values_csv: tuple[str, ...] = ()
    pattern: str = ""


class Flag(_Fact):
    """One flag of a command; `value` says that the next word belongs to it."""

    name: str
    short: str = ""
    value: bool = False
    value_optional: bool = False
    type: str = ""
    values: tuple[str, ...] = ()
    repeatable: bool = False
    deprecated: bool = False
    internal: bool = False


class Alternative(_Fact):
    """What may stand in place of an argument: a flag (argument left out) or a word in its position."""

    flag: str = ""
    replaces_arg: str = ""
    positional_value: str = ""
    arg: str = ""


class CommandFacts(_Fact):
    """Everything known about one command."""

    name: str
    parser: Literal["pflag", "bash", "bash-getopts"]
    flags_position: Literal["anywhere", "before-args", "after-args", "after-app"] = "anywhere"
    args: tuple[Argument, ...] = ()
    flags: tuple[Flag, ...] = ()
    alternatives: tuple[Alternative, ...] = ()
    properties: tuple[str, ...] = ()
    global_properties: tuple[str, ...] = ()
    property_values: dict[str, tuple[str, ...]] = {}
    property_patterns: dict[str, str] = {}
    integer_properties: tuple[str, ...] = ()
    info_flags: tuple[str, ...] = ()
    info_flag_patterns: tuple[str, ...] = ()
    passthrough_after: str = ""
    missing_service_exit: int = 0
    app_verified: bool = False
    exit: dict[str, int] = {}
    redeploys: str = ""
    stdin: bool = False
    json_output: bool = False
    needs_root: bool = False
    hidden: bool = False
    destructive: bool = False
    broken: bool = False
    unimplemented: bool = False
    deprecated: bool = False

    @property
    def usable(self) -> bool:
        """Whether a tool may send it at all."""
        return not (self.hidden or self.broken or self.unimplemented or self.deprecated)


@cache
def load() -> Mapping[str, CommandFacts]:
    """All commands by name."""
    data = json.loads((files("migrate.dokku") / "grammar.json").read_text(encoding="utf-8"))
    facts: dict[str, CommandFacts] = {}
    for raw in data["commands"]:
        raw["json_output"] = raw.pop("json", False)
        facts[raw["name"]] = CommandFacts.model_validate(raw)
    return facts


@cache
def versions() -> Mapping[str, str]:
    """Versions of Dokku and its plugins that the grammar was read from."""
    data = json.loads((files("migrate.dokku") / "grammar.json").read_text(encoding="utf-8"))
    return {str(name): str(version) for name, version in data["versions"].items()}
