"""Everything that is looked at before a split changes anything, and the refusal when it must not start."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from migrate.split.boundary import read_boundary
from migrate.split.context import SplitContext
from migrate.split.disk import free_bytes, judge_disk
from migrate.split.dump import client_programs
from migrate.split.findings import Finding, Weight, refusals, sorted_findings
from migrate.split.model import RefusedError
from migrate.split.names import Direction, Side
from migrate.split.schema_copy import check_adopted
from migrate.split.server_rules import judge_servers
from migrate.split.slots import culprits
from migrate.split.table_rules import judge_tables
from migrate.steps import Check, Step, needed
from shared.states import DataState


async def preflight(context: SplitContext, *, direct: bool = False) -> list[Finding]:
    """Findings about servers, tables, traffic and disk; reads only."""
    shared = await context.control(Side.SHARED)
    own = await context.control(Side.OWN)
    names = [table.name for table in context.spec.tables]
    publications = [context.names.publication(direction) for direction in Direction]
    boundary = await read_boundary(shared, names, publications)
    extensions = frozenset(
        row["name"] for row in await own.fetch("SELECT name FROM pg_available_extensions")
    )
    facts = context.facts
    found = judge_servers(facts)
    found += judge_tables(
        boundary,
        bypasses_row_security=facts[Side.SHARED].is_superuser or facts[Side.SHARED].bypasses_rls,
        deletion_events=context.spec.deletion_events,
        target_extensions=extensions,
    )
    for side, server in facts.items():
        found += _client_findings(side, server.major)
    found += [
        Finding(
            "old_transaction", Weight.WARN, "shared server",
            f"a slot would wait for {who}", "let it end",
        )
        for who in await culprits(shared)
    ]  # fmt: skip
    size = sum(table.total_bytes for table in boundary.tables.values())
    found += judge_disk(size, await free_bytes(context))
    for side in Side:
        connection = await context.control(side)
        pid = await connection.fetchval("SELECT pg_backend_pid()")
        found += judge_session(side, connection.get_server_pid(), pid)
    if context.desk is not None and not direct:
        found += _traffic_findings(context.spec.service, await context.desk.writers_elsewhere())
    return sorted_findings(found)


def judge_session(side: Side, announced_pid: int, pid: int) -> list[Finding]:
    """A pooler announces a process of its own, and gives each transaction another server's one."""
    if announced_pid == pid:
        return []
    return [
        Finding(
            "pooler", Weight.REFUSE, f"{side} server",
            "is reached through a connection pooler: locks and settings of a session, and replication"
            " connections, get lost in it",
            "give the tool the address of PostgreSQL itself",
        )
    ]  # fmt: skip


def _traffic_findings(service: str, routes: tuple[str, ...]) -> list[Finding]:
    if not routes:
        return []
    names = ", ".join(routes)
    return [
        Finding(
            "traffic", Weight.REFUSE, service,
            f"does not answer all of its writing routes: {names}",
            f"`migrate flag set {service} --percent 100` first, or split with --direct",
        )
    ]  # fmt: skip


def _client_findings(side: Side, server: int) -> list[Finding]:
    newest = max((major for major, _ in client_programs()), default=0)
    if newest >= server:
        return []
    is_copied = side is Side.SHARED
    return [
        Finding(
            "client_programs", Weight.REFUSE if is_copied else Weight.WARN, "this machine",
            f"has pg_dump {newest or 'not at all'}, the {side} server is {server}"
            + ("" if is_copied else ": its tables cannot be backed up from here"),
            f"install postgresql-client-{server}",
        )
    ]  # fmt: skip


class Preflight(Step[SplitContext]):
    """Refuses to start when something would do harm; a split under way is not judged again."""

    name = "preflight"
    title = "look at servers, rights, tables and traffic"
    deadline_seconds = 120.0

    def __init__(self, *, direct: bool = False) -> None:
        self._direct = direct

    async def check(self, context: SplitContext) -> Check:
        return needed()

    async def apply(self, context: SplitContext) -> Mapping[str, Any]:
        found = await preflight(context, direct=self._direct)
        if refused := refusals(found):
            raise RefusedError(f"db split {context.spec.service}", map(str, refused))
        if (await context.control_desk.placement()).state is DataState.SHARED:
            await check_adopted(context)
        return {"warnings": [str(entry) for entry in found if entry.weight is Weight.WARN]}
