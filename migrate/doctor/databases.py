"""Is PostgreSQL able to do what the migration needs, and closed to everybody else?"""

from __future__ import annotations

import asyncio

import asyncpg

from migrate.doctor.finding import Finding, error, ok, warning
from shared.control.errors import NotInitializedError
from shared.placement.pools import CONNECTION_ERRORS

CONNECT_SECONDS = 3.0
STATEMENT_SECONDS = 5.0
LOWEST_VERSION = 150000  # row filters and column lists of publications since 15
PLATFORM_TABLES = frozenset({"webhook_inbox", "idempotency_keys", "maintenance_modes", "users"})
#: Roles through which a hosted database is reachable over its own HTTP interface (PostgREST).
WEB_ROLES = ("anon", "authenticated")

_OPEN_FUNCTIONS = """
SELECT p.proname FROM pg_proc p
 WHERE p.pronamespace = 'public'::regnamespace AND p.prokind = 'f'
   AND p.proname ~ '^(quota_|emit_event)'
   AND EXISTS (SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
                LEFT JOIN pg_roles r ON r.oid = a.grantee
               WHERE a.privilege_type = 'EXECUTE' AND (a.grantee = 0 OR r.rolname = ANY ($1)))
 ORDER BY 1
"""
_OPEN_TABLES = """
SELECT DISTINCT c.relname FROM pg_class c, aclexplode(c.relacl) a
  LEFT JOIN pg_roles r ON r.oid = a.grantee
 WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'v', 'p')
   AND NOT c.relrowsecurity AND (a.grantee = 0 OR r.rolname = ANY ($1))
 ORDER BY 1
"""
_TABLES = (
    "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
)


async def database_findings(name: str, dsn: str, *, is_shared: bool) -> list[Finding]:
    """One database; `is_shared` for the one with accounts, quotas and the control store."""
    subject = f"database {name}"
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            connection = await asyncpg.connect(
                dsn, server_settings={"application_name": "migrate doctor"}
            )
    except (*CONNECTION_ERRORS, asyncpg.PostgresError) as problem:
        return [
            error(subject, f"does not answer ({type(problem).__name__}); is PostgreSQL running?")
        ]
    try:
        async with asyncio.timeout(STATEMENT_SECONDS):
            found = await _server(subject, connection)
            found += await _openings(subject, connection)
            if is_shared:
                found += await _platform(subject, connection)
    except (*CONNECTION_ERRORS, asyncpg.PostgresError) as problem:
        return [error(subject, f"could not be inspected ({type(problem).__name__})")]
    finally:
        await connection.close(timeout=CONNECT_SECONDS)
    return found or [ok(subject, "ready for the split, closed to the outside")]


async def _server(subject: str, connection: asyncpg.Connection[asyncpg.Record]) -> list[Finding]:
    found: list[Finding] = []
    version = int(await connection.fetchval("SHOW server_version_num"))
    if version < LOWEST_VERSION:
        found.append(error(subject, f"PostgreSQL {version // 10000} is older than 15"))
    if await connection.fetchval("SHOW wal_level") != "logical":
        found.append(
            error(
                subject,
                "wal_level is not logical: the split cannot follow its tables; set it with"
                " `ALTER SYSTEM SET wal_level = logical` and restart PostgreSQL",
            )
        )
    free = await connection.fetchval(
        "SELECT current_setting('max_replication_slots')::int - count(*) FROM pg_replication_slots"
    )
    if free < 2:
        found.append(
            warning(
                subject,
                f"{free} free replication slot(s); following and reverse following need two",
            )
        )
    return found


async def _openings(subject: str, connection: asyncpg.Connection[asyncpg.Record]) -> list[Finding]:
    """Functions and tables that public roles can reach (faults L4 of the first design)."""
    found: list[Finding] = []
    functions = [r["proname"] for r in await connection.fetch(_OPEN_FUNCTIONS, list(WEB_ROLES))]
    if functions:
        found.append(
            error(
                subject,
                f"anybody may execute {', '.join(functions)}; run"
                " `REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC, anon, authenticated`",
            )
        )
    tables = [r["relname"] for r in await connection.fetch(_OPEN_TABLES, list(WEB_ROLES))]
    if tables:
        found.append(
            error(
                subject,
                f"public roles may use {', '.join(tables)} without row security; revoke their"
                " grants",
            )
        )
    return found


async def _platform(subject: str, connection: asyncpg.Connection[asyncpg.Record]) -> list[Finding]:
    found: list[Finding] = []
    tables = {row["relname"] for row in await connection.fetch(_TABLES)}
    if missing := sorted(PLATFORM_TABLES - tables):
        found.append(error(subject, f"has no {', '.join(missing)}; run `migrate db migrate`"))
    if not await connection.fetchval("SELECT to_regnamespace('strangler') IS NOT NULL"):
        found.append(error(subject, NotInitializedError().message))
    return found
