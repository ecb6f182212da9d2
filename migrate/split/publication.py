"""Publications and subscriptions of a split, in both directions; knows no order of steps."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg

from migrate.split.connection import Connection, without_secrets
from migrate.split.context import SplitContext
from migrate.split.model import SplitError
from migrate.split.names import Direction, literal, quote
from migrate.split.servers import MANAGED_SCHEMA

#: CREATE PUBLICATION waits for vacuum; short waits keep the lock queue short. In milliseconds.
PUBLICATION_LOCK_MS = 500
PUBLICATION_ATTEMPTS = 60
#: How long a stopped apply worker may take to go, in seconds; by itself it needs about one.
WORKER_STOP_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription as the catalogue shows it; `pid` is its apply worker."""

    name: str
    enabled: bool
    pid: int | None
    apply_errors: int


def peer_conninfo(dsn: str, *, bypass_row_security: bool) -> str:
    """The address for CREATE SUBSCRIPTION: a dead peer is noticed, no policy hides rows."""
    parts = urlsplit(dsn)
    query = dict(parse_qsl(parts.query))
    query.setdefault("connect_timeout", "10")
    query.setdefault("keepalives_idle", "10")
    query.setdefault("keepalives_interval", "5")
    query.setdefault("keepalives_count", "3")
    if bypass_row_security:
        query["options"] = f"{query.get('options', '')} -crow_security=off".strip()
    encoded = urlencode(query).replace("+", "%20")
    return urlunsplit(parts._replace(scheme="postgresql", query=encoded))


async def create_publication(context: SplitContext, direction: Direction) -> None:
    """Publish tables, token, command and canary; waits for vacuum in short turns. Idempotent."""
    connection = await context.source(direction)
    name = context.names.publication(direction)
    tables = [f"{table.name.sql}{table.where}" for table in context.spec.tables]
    own = (context.names.token, context.names.command, context.names.canary)
    tables += [table.sql for table in own]
    statement = (
        f"CREATE PUBLICATION {quote(name)} FOR TABLE {', '.join(tables)}"
        " WITH (publish_via_partition_root = true)"
    )
    for attempt in range(PUBLICATION_ATTEMPTS):
        if await has_publication(connection, name):
            return
        try:
            async with connection.transaction():
                await connection.execute(f"SET LOCAL lock_timeout = '{PUBLICATION_LOCK_MS}ms'")
                await connection.execute(statement)
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
            await asyncio.sleep(min(2.0, 0.1 * (attempt + 1)))
        except asyncpg.DuplicateObjectError:
            return
        else:
            return
    raise SplitError(
        f"publication {name} could not be created: something (mostly a vacuum) holds a lock on one"
        " of the tables; see pg_stat_activity and run the command again"
    )


async def has_publication(connection: Connection, name: str) -> bool:
    return bool(
        await connection.fetchval(
            "SELECT EXISTS (SELECT FROM pg_publication WHERE pubname = $1)", name
        )
    )


async def drop_publication(context: SplitContext, direction: Direction) -> None:
    """Remove it; subscriptions to it must be gone or stopped."""
    connection = await context.source(direction)
    await connection.execute(
        f"DROP PUBLICATION IF EXISTS {quote(context.names.publication(direction))}"
    )


async def create_subscription(context: SplitContext, direction: Direction) -> None:
    """Create it, disabled and without a slot of its own making; proves that the peer is reachable.

    `create_slot = true` would hang for ever between two databases of one cluster.
    """
    name = context.names.subscription(direction)
    if await find_subscription(context, direction) is not None:
        return
    publisher = context.facts[direction.source]
    subscriber = context.facts[direction.target]
    conninfo = peer_conninfo(
        context.endpoints[direction.source].for_peer,
        bypass_row_security=not publisher.is_superuser,
    )
    # origin = none exists from 16 on, and needs it on both sides
    origin = publisher.major >= 16 and subscriber.major >= 16
    publication, slot = context.names.publication(direction), context.names.slot(direction)
    connection = await context.session(direction.target, "subscribe")
    try:
        await _hide_from_logs(connection, is_superuser=subscriber.is_superuser)
        if subscriber.is_superuser or not subscriber.has_managed_subscriptions:
            await connection.execute(
                f"CREATE SUBSCRIPTION {quote(name)} CONNECTION {literal(conninfo)}"
                f" PUBLICATION {quote(publication)} WITH (create_slot = false,"
                f" slot_name = {literal(slot)}, copy_data = false, enabled = false, streaming = on"
                f"{', origin = none' if origin else ''})"
            )
        else:
            async with connection.transaction():  # nobody sees it before it is disabled
                await connection.execute(
                    f"SELECT {MANAGED_SCHEMA}.pg_create_subscription($1, $2, $3, $4, false, $5)",
                    name, conninfo, publication, slot, "none" if origin else "any",
                )  # fmt: skip
                await connection.execute(
                    f"SELECT {MANAGED_SCHEMA}.pg_alter_subscription_disable($1)", name
                )
    except asyncpg.PostgresError as error:
        reason = without_secrets(str(error), *context.endpoints.values())
        raise SplitError(
            f"the {direction.target} database cannot follow the {direction.source} database:"
            f" {reason}; check that its server reaches the other one (network, pg_hba.conf,"
            " password) under the address given for peers"
        ) from error
    finally:
        await connection.close()


async def _hide_from_logs(connection: Connection, *, is_superuser: bool) -> None:
    """The statement holds the peer's password: keep it out of logs and of pg_stat_statements."""
    if not is_superuser:
        return
    for setting, value in (
        ("log_statement", "none"),
        ("log_min_duration_statement", "-1"),
        ("log_min_error_statement", "panic"),
        ("track_activities", "off"),
        ("pg_stat_statements.track_utility", "off"),
    ):
        with suppress(asyncpg.PostgresError):  # not loaded there
            await connection.execute(f"SET {setting} = {literal(value)}")


async def find_subscription(context: SplitContext, direction: Direction) -> Subscription | None:
    """The subscription of a direction, or None."""
    connection = await context.target(direction)
    row = await connection.fetchrow(
        "SELECT s.subname AS name, s.subenabled AS enabled,"
        " (SELECT a.pid FROM pg_stat_subscription a WHERE a.subid = s.oid AND a.relid IS NULL"
        "  AND a.pid IS NOT NULL LIMIT 1) AS pid,"
        " coalesce((SELECT e.apply_error_count FROM pg_stat_subscription_stats e"
        "  WHERE e.subid = s.oid), 0)::bigint AS apply_errors"
        " FROM pg_subscription s WHERE s.subname = $1"
        " AND s.subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())",
        context.names.subscription(direction),
    )
    return None if row is None else Subscription(**dict(row))


async def enable_subscription(context: SplitContext, direction: Direction) -> None:
    """Let the apply worker run."""
    await _alter(context, direction, "ENABLE", "pg_alter_subscription_enable")


async def stop_subscription(context: SplitContext, direction: Direction) -> None:
    """Disable it and wait until its apply worker is gone, which is told to hurry."""
    await _alter(context, direction, "DISABLE", "pg_alter_subscription_disable")
    connection = await context.target(direction)
    until = asyncio.get_running_loop().time() + WORKER_STOP_SECONDS
    while (found := await find_subscription(context, direction)) and found.pid is not None:
        if asyncio.get_running_loop().time() > until:
            raise SplitError(
                f"the apply worker of {found.name} (pid {found.pid}) does not stop;"
                " end it with pg_terminate_backend and run the command again"
            )
        with suppress(asyncpg.InsufficientPrivilegeError):
            await connection.execute("SELECT pg_terminate_backend($1)", found.pid)
        await asyncio.sleep(0.005)


async def _alter(context: SplitContext, direction: Direction, action: str, managed: str) -> None:
    connection = await context.target(direction)
    facts = context.facts[direction.target]
    name = context.names.subscription(direction)
    if facts.is_superuser or not facts.has_managed_subscriptions:
        await connection.execute(f"ALTER SUBSCRIPTION {quote(name)} {action}")
    else:
        await connection.execute(f"SELECT {MANAGED_SCHEMA}.{managed}($1)", name)


async def drop_subscription(context: SplitContext, direction: Direction) -> None:
    """Stop, forget the slot, drop: in this order it works when the peer is away. Idempotent."""
    if await find_subscription(context, direction) is None:
        return
    await stop_subscription(context, direction)
    connection = await context.target(direction)
    facts = context.facts[direction.target]
    name = context.names.subscription(direction)
    if facts.is_superuser or not facts.has_managed_subscriptions:
        await connection.execute(f"ALTER SUBSCRIPTION {quote(name)} SET (slot_name = NONE)")
        await connection.execute(f"DROP SUBSCRIPTION IF EXISTS {quote(name)}")
    else:
        await connection.execute(f"SELECT {MANAGED_SCHEMA}.pg_drop_subscription($1)", name)
