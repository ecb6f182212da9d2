"""What a split is given: a service, its tables and the two databases; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from migrate.split.names import Side, TableName
from shared.errors import OperatorError


class SplitError(OperatorError):
    """A split cannot go on; the message names the next command."""

    exit_code = 1


class RefusedError(SplitError):
    """A check before the start found something that would do harm; nothing was changed."""

    exit_code = 3

    def __init__(self, what: str, reasons: Iterable[str]) -> None:
        self.reasons = tuple(reasons)
        lines = "\n".join(f"  - {reason}" for reason in self.reasons)
        super().__init__(f"{what} was refused, nothing was changed:\n{lines}")


class StateError(SplitError):
    """The databases are in a state in which this command means nothing."""

    exit_code = 3


@dataclass(frozen=True, slots=True)
class MovedTable:
    """A table that moves, or the part of it that `row_filter` (an SQL condition) selects."""

    name: TableName
    row_filter: str | None = None

    @property
    def where(self) -> str:
        """` WHERE (…)` or nothing."""
        return f" WHERE ({self.row_filter})" if self.row_filter else ""


@dataclass(frozen=True, slots=True)
class SplitSpec:
    """One service and what moves with it.

    `deletion_events`: table that stays -> the event that announces that a row of it was erased;
    a crossing foreign key to such a table needs no delete log.
    """

    service: str
    tables: tuple[MovedTable, ...]
    deletion_events: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @classmethod
    def of(
        cls,
        service: str,
        tables: Iterable[str],
        *,
        row_filters: Mapping[str, str] | None = None,
        deletion_events: Mapping[str, str] | None = None,
    ) -> SplitSpec:
        """From plain names; `row_filters` by the same names."""
        filters = row_filters or {}
        names = list(dict.fromkeys([*tables, *filters]))
        if not names:
            raise SplitError(f"service {service} owns no tables, so there is nothing to split")
        moved = tuple(MovedTable(TableName.parse(name), filters.get(name)) for name in names)
        return cls(service, moved, MappingProxyType(dict(deletion_events or {})))

    @property
    def whole_tables(self) -> tuple[MovedTable, ...]:
        """Tables that move with every row: the ones that can be renamed and dropped later."""
        return tuple(table for table in self.tables if table.row_filter is None)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A database: how this tool reaches it, and how the other server does."""

    side: Side
    dsn: str = field(repr=False)
    peer_dsn: str = field(repr=False, default="")

    @property
    def for_peer(self) -> str:
        """The address that the other server connects to."""
        return self.peer_dsn or self.dsn


@dataclass(frozen=True, slots=True)
class Limits:
    """Time limits and bounds of a split and its switch. Sources: measurements in the README."""

    lock_timeout_ms: int = 100  # longest stall of writers by one failed attempt at the lock
    lock_deadlock_ms: int = 20  # the tool is the victim of a deadlock, and autovacuum yields
    lock_attempts: int = 20
    lock_backoff_seconds: float = 0.25
    fence_session_ms: int = 800  # the server ends a frozen tool's transaction after this
    token_seconds: float = 0.12  # the other side must have applied everything by then
    token_attempts: int = 6
    token_backoff_seconds: float = 0.5
    sequence_gap: int = 1000  # numbers skipped on the new owner, for values drawn but not written
    gate_round_trip_ms: float = 200.0
    gate_rounds: int = 5
    gate_seconds: float = 60.0  # how long a cutover waits for the gate to hold
    old_transaction_seconds: float = 5.0
    verification_minutes: float = 60.0
    slot_seconds: float = 300.0  # wait for transactions that stand in the way of a slot
    max_pause_ms: float = 150.0  # a higher prediction needs an explicit yes
    max_retained_wal_bytes: int = 64 * 1024**3
    catch_up_bytes: int = 1024 * 1024
