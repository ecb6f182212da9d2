"""Removes from the own database what a split has put there, by the records written beforehand."""

from __future__ import annotations

from typing import Any

import asyncpg

from migrate.split.connection import Connection
from migrate.split.context import SplitContext
from migrate.split.names import Side
from migrate.split.scaffold import recorded_objects


async def drop_copies(context: SplitContext) -> dict[str, Any]:
    """Drop what was created; tables that were there before lose the rows that were copied."""
    own = await context.control(Side.OWN)
    records = await recorded_objects(own, context.names)
    created = {identity for kind, identity, _ in records if kind == "table"}
    async with own.transaction():
        if context.facts[Side.OWN].can_be_replica:
            await own.execute("SET LOCAL session_replication_role = replica")
        for table in context.spec.tables:
            identity = str(await own.fetchval("SELECT to_regclass($1)::text", table.name.sql))
            if identity not in created and identity != "None":
                await own.execute(f"DELETE FROM {table.name.sql}{table.where}", timeout=300.0)
    dropped, kept = await drop_objects(own, [drop for _, _, drop in records if drop])
    if not kept:
        await own.execute(f"DELETE FROM {context.names.relation('object')}")
    return {"dropped": dropped, "kept": kept}


async def drop_objects(connection: Connection, statements: list[str]) -> tuple[int, list[str]]:
    """Run drops in any order: whatever still has dependents is tried again after the others."""
    dropped = 0
    while statements:
        failed: list[str] = []
        reason = ""
        for statement in statements:
            try:
                await connection.execute(statement, timeout=120.0)
                dropped += 1
            except asyncpg.DependentObjectsStillExistError as error:
                failed.append(statement)
                reason = str(error)
        if len(failed) == len(statements):
            return dropped, [f"{statement}: {reason}" for statement in failed]
        statements = failed
    return dropped, []
