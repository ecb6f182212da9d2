"""Login roles with the rights that the plan of a Dokku host gives them, on a test's own database."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from migrate.dokku.database import DatabaseState, parse_probe, probe_sql
from migrate.dokku.desired import desired_host, section_of
from migrate.dokku.plan_stores import Passwords, roles_of
from migrate.dokku.roles import DesiredRole, role_statements, scram_verifier
from shared.manifest import Manifest

PASSWORD = "a-password-of-a-test"


@asynccontextmanager
async def service_role(dsn: str, manifest: Manifest, service: str) -> AsyncIterator[str]:
    """DSN of the same database as the service's own role, which is dropped afterwards."""
    wanted = _role(manifest, service)
    admin = await asyncpg.connect(dsn)
    try:
        state = await _state(admin, [wanted.name], [r.schema_name for r in wanted.rights])
        for statement in role_statements([wanted], state, _verifier):
            await admin.execute(statement)
        parts = urlsplit(dsn)
        address = parts.netloc.rpartition("@")[2]
        yield urlunsplit(parts._replace(netloc=f"{wanted.name}:{PASSWORD}@{address}"))
        await admin.execute(f'DROP OWNED BY "{wanted.name}"')
        await admin.execute(f'DROP ROLE "{wanted.name}"')
    finally:
        await admin.close()


def _role(manifest: Manifest, service: str) -> DesiredRole:
    """The role in the shared store, under a name that no other test has: roles belong to a server."""
    host = desired_host(manifest, {})
    app = host.apps[manifest.services[service].app]
    passwords = Passwords({}, lambda _store, _role: PASSWORD)
    (found,) = roles_of(section_of(manifest).shared_store, [app], passwords)
    return replace(found, name=f"{found.name}_{uuid.uuid4().hex[:8]}")


async def _state(
    admin: asyncpg.Connection, roles: Iterable[str], schemas: Iterable[str]
) -> DatabaseState:
    text = probe_sql([], roles, schemas)
    sql = "\n".join(line for line in text.splitlines() if not line.startswith("\\"))
    lines = [
        row[0]
        for statement in sql.split(";\n")
        if statement.strip()
        for row in await admin.fetch(statement)
    ]
    return parse_probe("\n".join(lines))


def _verifier(role: DesiredRole) -> str:
    return scram_verifier(role.password, b"salt-of-a-test-1")
