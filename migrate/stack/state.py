"""What a local stack remembers between commands: ports, where each server comes from, how long it took."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from migrate.stack.env_file import write_private
from migrate.stack.ports import free_port, is_free
from migrate.stack.programs import ServerKind

ServerSource = Literal["private", "url", "container"]


class StackState(BaseModel):
    """Facts of one stack; no secret is among them. `ports` is by process; the router's workers have admin
    ports in a row, of which `router-admin` is the first."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ports: dict[str, int] = {}
    servers: dict[ServerKind, ServerSource] = {}
    started_at: float = 0.0  # Unix seconds of the first successful start
    setup_seconds: float = 0.0  # how long that start took
    stand_ins: bool = False  # the vendors' clouds are local and the apps are pointed at them
    only: tuple[str, ...] = ()  # services that run beside monolith and router; none named: all

    @property
    def public_url(self) -> str:
        return f"http://127.0.0.1:{self.ports['router']}"


def read_state(path: Path) -> StackState:
    """The remembered state, or an empty one."""
    if not path.exists():
        return StackState()
    return StackState.model_validate_json(path.read_bytes())


def write_state(path: Path, state: StackState) -> None:
    write_private(path, state.model_dump_json(indent=2))


def assign_ports(
    known: Mapping[str, int], wanted: Mapping[str, int], running: AbstractSet[str]
) -> dict[str, int]:
    """The first of `wanted[name]` ports in a row for every name: the remembered ones while they are ours
    or free, else new ones."""
    ports: dict[str, int] = {}
    taken = set(known.values())
    for name, count in wanted.items():
        first = known.get(name, 0)
        row = range(first, first + count)
        is_ours = name.removesuffix("-admin").removesuffix("-smtp") in running
        if not first or not (is_ours or all(is_free(port) for port in row)):
            first = free_port(frozenset(taken), in_a_row=count)
        ports[name] = first
        taken.update(range(first, first + count))
    return ports
