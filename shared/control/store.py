"""Reads and writes of flags, placements, phases and history; every write is one numbered transaction."""

from __future__ import annotations

import difflib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from secrets import token_hex

import asyncpg

from shared.control.errors import (
    IllegalChangeError,
    IllegalTransitionError,
    NotInitializedError,
    StaleVersionError,
    StoreUnreachableError,
    UnknownRouteError,
)
from shared.control.model import (
    Change,
    ControlState,
    Flag,
    FlagChange,
    HistoryEntry,
    Hold,
    Phase,
    Placement,
)
from shared.control.rows import flag_to_json
from shared.control.tables import (
    STATEMENT_SECONDS,
    Entry,
    dump,
    flag_json,
    placement_json,
    read_state,
    write_flag,
    write_placement,
)
from shared.states import (
    DATA_TRANSITIONS,
    OWNING_DATABASE,
    PHASE_TRANSITIONS,
    DataState,
    PhaseStatus,
    violations,
)

#: Channel that every committed write notifies with the new version.
CHANNEL = "strangler_control"


@dataclass(frozen=True, slots=True)
class RouteFact:
    """What the manifest says about a route and the store must know to check itself."""

    route: str
    service: str
    writes: bool


class ControlStore:
    """Asynchronous access to the schema `strangler`.

    Every write locks the one row of `strangler.control`, checks the invariants on the state that
    it would leave behind, writes rows and history, raises the version and notifies `CHANNEL`.
    """

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        self._pool = pool

    @classmethod
    async def connect(
        cls, dsn: str, *, application_name: str = "strangler/cli", max_size: int = 4
    ) -> ControlStore:
        """Open a small pool; raises StoreUnreachableError when the server does not answer."""
        try:
            pool = await asyncpg.create_pool(
                dsn,
                min_size=1,
                max_size=max_size,
                timeout=STATEMENT_SECONDS,
                command_timeout=STATEMENT_SECONDS,
                server_settings={"application_name": application_name},
            )
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise StoreUnreachableError(type(error).__name__) from error
        return cls(pool)

    async def close(self) -> None:
        """Close the pool, at once if a connection hangs."""
        self._pool.terminate()

    @property
    def pool(self) -> asyncpg.Pool[asyncpg.Record]:
        """The pool, for the sibling modules of this package."""
        return self._pool

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
        """A pooled connection with errors translated."""
        try:
            async with self._pool.acquire(timeout=STATEMENT_SECONDS) as connection:
                yield connection  # type: ignore[misc]
        except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError) as error:
            raise NotInitializedError from error
        except (OSError, TimeoutError, asyncpg.InterfaceError) as error:
            raise StoreUnreachableError(type(error).__name__) from error
        except asyncpg.PostgresConnectionError as error:
            raise StoreUnreachableError(type(error).__name__) from error

    async def state(self) -> ControlState:
        """The current flags and placements."""
        async with self.connection() as connection:
            return await read_state(connection)

    # ---- writes -------------------------------------------------------------------------------

    async def register(
        self,
        facts: Iterable[RouteFact],
        services: Iterable[str],
        phases: Iterable[int],
        *,
        actor: str,
    ) -> Change:
        """Make sure that every route, service and phase of the manifest has a row; idempotent.

        Rows that the manifest no longer names stay: their history is needed, and a route that is
        not in the manifest reaches the monolith anyway.
        """
        wanted = {fact.route: fact for fact in facts}
        names, numbers = sorted(set(services)), sorted(set(phases))

        async def write(
            connection: asyncpg.Connection[asyncpg.Record], state: ControlState, version: int
        ) -> list[Entry]:
            entries: list[Entry] = []
            for name, fact in sorted(wanted.items()):
                old = state.flags.get(name)
                if old is None:
                    new = Flag(name, fact.service, salt=token_hex(8), writes=fact.writes)
                elif (old.service, old.writes) != (fact.service, fact.writes):
                    new = replace(old, service=fact.service, writes=fact.writes)
                else:
                    continue
                await write_flag(connection, new, version)
                entries.append(Entry("register", name, flag_json(old), flag_to_json(new)))
            for name in names:
                if name not in state.placements:
                    await write_placement(connection, Placement(name), version)
                    entries.append(Entry("register", name, None, {"state": "shared", "epoch": 1}))
            known = {
                row["number"]
                for row in await connection.fetch("SELECT number FROM strangler.phases")
            }
            for number in numbers:
                if number not in known:
                    await connection.execute(
                        "INSERT INTO strangler.phases (number, version) VALUES ($1, $2)",
                        number,
                        version,
                    )
                    entries.append(
                        Entry("register", f"phase {number}", None, {"status": "pending"})
                    )
            return entries

        return await self._write(write, actor=actor, reason="registered from the manifest")

    async def set_flags(
        self,
        changes: Mapping[str, FlagChange],
        *,
        actor: str,
        reason: str,
        expected_version: int | None = None,
    ) -> Change:
        """Change flags by route name, all or none; raises IllegalChangeError, UnknownRouteError."""

        async def write(
            connection: asyncpg.Connection[asyncpg.Record], state: ControlState, version: int
        ) -> list[Entry]:
            entries: list[Entry] = []
            for name, change in sorted(changes.items()):
                old = state.flags.get(name)
                if old is None:
                    close = difflib.get_close_matches(name, state.flags, n=3)
                    raise UnknownRouteError("route", name, tuple(close))
                if change.hold is not None:
                    now = await connection.fetchval(
                        "SELECT extract(epoch FROM clock_timestamp())::float8"
                    )
                    change = replace(change, hold=replace(change.hold, started_at=now))
                new = old.with_changes(change)
                if new == old:
                    continue
                await write_flag(connection, new, version)
                entries.append(Entry("flag", name, flag_to_json(old), flag_to_json(new)))
            return entries

        return await self._write(
            write, actor=actor, reason=reason, expected_version=expected_version
        )

    async def set_hold(
        self, routes: Iterable[str], hold: Hold | None, *, actor: str, reason: str
    ) -> Change:
        """Start a hold on routes, or end it with None."""
        change = FlagChange(hold=hold) if hold else FlagChange(clear_hold=True)
        return await self.set_flags(dict.fromkeys(routes, change), actor=actor, reason=reason)

    async def set_placement(
        self,
        service: str,
        state: DataState,
        *,
        actor: str,
        reason: str,
        expected_version: int | None = None,
    ) -> Change:
        """Move a service's data to another state; the epoch grows when the owner changes.

        Raises IllegalTransitionError or IllegalChangeError and changes nothing.
        """

        async def write(
            connection: asyncpg.Connection[asyncpg.Record], current: ControlState, version: int
        ) -> list[Entry]:
            old = current.placements.get(service)
            if old is None:
                close = difflib.get_close_matches(service, current.placements, n=3)
                raise UnknownRouteError("service", service, tuple(close))
            if old.state is state:
                return []
            if state not in DATA_TRANSITIONS[old.state]:
                raise IllegalTransitionError(
                    service, old.state, state, frozenset(DATA_TRANSITIONS[old.state])
                )
            moved = OWNING_DATABASE[old.state] != OWNING_DATABASE[state]
            new = Placement(service, state, old.epoch + int(moved))
            await write_placement(connection, new, version)
            return [Entry("placement", service, placement_json(old), placement_json(new))]

        return await self._write(
            write, actor=actor, reason=reason, expected_version=expected_version
        )

    async def set_phase(
        self, number: int, status: PhaseStatus, *, actor: str, reason: str
    ) -> Change:
        """Record that a phase was started, completed or taken back."""

        async def write(
            connection: asyncpg.Connection[asyncpg.Record], current: ControlState, version: int
        ) -> list[Entry]:
            row = await connection.fetchrow(
                "SELECT status FROM strangler.phases WHERE number = $1", number
            )
            if row is None:
                raise UnknownRouteError("phase", str(number))
            old = PhaseStatus(row["status"])
            if old is status:
                return []
            if status not in PHASE_TRANSITIONS[old]:
                raise IllegalTransitionError(
                    f"phase {number}", old, status, frozenset(PHASE_TRANSITIONS[old])
                )
            await connection.execute(
                "UPDATE strangler.phases SET status = $2, version = $3,"
                " started_at = CASE WHEN $2 = 'started' THEN clock_timestamp() ELSE started_at END,"
                " completed_at = CASE WHEN $2 = 'completed' THEN clock_timestamp() END WHERE number = $1",
                number,
                status.value,
                version,
            )
            return [
                Entry("phase", f"phase {number}", {"status": old.value}, {"status": status.value})
            ]

        return await self._write(write, actor=actor, reason=reason)

    # ---- reads --------------------------------------------------------------------------------

    async def phases(self) -> tuple[Phase, ...]:
        """Every phase that is registered, by number."""
        async with self.connection() as connection:
            rows = await connection.fetch(
                "SELECT number, status, started_at, completed_at FROM strangler.phases ORDER BY number"
            )
        return tuple(
            Phase(row["number"], PhaseStatus(row["status"]), row["started_at"], row["completed_at"])
            for row in rows
        )

    async def history(
        self, *, subject: str | None = None, limit: int = 50
    ) -> tuple[HistoryEntry, ...]:
        """The newest changes first; `subject` is a route, a service (with its routes) or `phase N`."""
        async with self.connection() as connection:
            rows = await connection.fetch(
                "SELECT id, version, at, actor, reason, kind, subject, before::text, after::text"
                " FROM strangler.history WHERE $1::text IS NULL OR subject = $1 OR subject LIKE $1 || '.%'"
                " ORDER BY id DESC LIMIT $2",
                subject,
                limit,
            )
        return tuple(
            HistoryEntry(
                **{
                    key: row[key]
                    for key in ("id", "version", "at", "actor", "reason", "kind", "subject")
                },
                before=json.loads(row["before"]) if row["before"] else None,
                after=json.loads(row["after"]) if row["after"] else None,
            )
            for row in rows
        )

    # ---- the one way to write -----------------------------------------------------------------

    async def _write(
        self,
        write: Callable[
            [asyncpg.Connection[asyncpg.Record], ControlState, int], Awaitable[list[Entry]]
        ],
        *,
        actor: str,
        reason: str,
        expected_version: int | None = None,
    ) -> Change:
        async with self.connection() as connection, connection.transaction():
            await connection.execute("SELECT version FROM strangler.control FOR UPDATE")
            before = await read_state(connection)
            if expected_version is not None and before.version != expected_version:
                raise StaleVersionError(expected_version, before.version)
            version = before.version + 1
            entries = await write(connection, before, version)
            if not entries:
                now: datetime = await connection.fetchval("SELECT clock_timestamp()")
                return Change(before.version, now, ())
            after = await read_state(connection)
            if broken := violations(after.route_states(), after.data_states()):
                raise IllegalChangeError(broken)
            await connection.executemany(
                "INSERT INTO strangler.history (version, actor, reason, kind, subject, before, after)"
                " VALUES ($1, $2, $3, $4, $5, $6::text::jsonb, $7::text::jsonb)",
                [
                    (
                        version,
                        actor,
                        reason,
                        entry.kind,
                        entry.subject,
                        dump(entry.before),
                        dump(entry.after),
                    )
                    for entry in entries
                ],
            )
            await connection.execute("UPDATE strangler.control SET version = $1", version)
            await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, str(version))
            now = await connection.fetchval("SELECT clock_timestamp()")
        return Change(version, now, tuple(entry.subject for entry in entries))
