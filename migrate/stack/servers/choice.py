"""Where the servers of a stack come from: addresses in the environment win, private instances are the rule.

Programs that are missing come from containers where a Docker engine runs, because that changes nothing on the
machine, else by apt. STACK_CONTAINERS=off keeps to apt, STACK_CONTAINERS=on takes containers for all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from migrate.stack.errors import StackError
from migrate.stack.programs import SERVER_KINDS, Programs, ServerKind


def given_urls(environment: Mapping[str, str]) -> dict[ServerKind, str]:
    """Addresses that the operator set: STACK_POSTGRES_URL (a superuser's), STACK_REDIS_URL, STACK_RABBITMQ_URL."""
    found = {kind: environment.get(f"STACK_{kind.upper()}_URL", "") for kind in SERVER_KINDS}
    return {kind: url for kind, url in found.items() if url}


def contained_kinds(
    environment: Mapping[str, str],
    programs: Programs,
    needed: Iterable[ServerKind],
    engine_runs: Callable[[], bool],
) -> frozenset[ServerKind]:
    """The needed kinds that run in containers; the engine is only asked where the answer matters."""
    wish = environment.get("STACK_CONTAINERS", "")
    if wish not in ("", "on", "off"):
        raise StackError(f"STACK_CONTAINERS is {wish!r}; it is on, off or unset")
    if wish == "off":
        return frozenset()
    candidates = set(needed) if wish == "on" else set(needed) & set(programs.missing)
    if not candidates:
        return frozenset()
    if engine_runs():
        return frozenset(candidates)
    if wish == "on":
        raise StackError(
            "STACK_CONTAINERS is on and `docker info` or `docker compose version` fails",
            hint="start the engine, or unset STACK_CONTAINERS",
        )
    return frozenset()
