"""The moment of a switch: lock, token, sequences, flush, fence, open. Every step is urgent."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from migrate.split.connection import Connection
from migrate.split.fence import fenced_tables, shut_sql
from migrate.split.locks import lock_tables
from migrate.split.model import SplitError
from migrate.split.names import Direction, Names, literal
from migrate.split.sequences import SequenceValue, targets
from migrate.split.stream import TokenLateError, bump_token, wait_for_token
from migrate.split.switch import SwitchContext
from migrate.steps import Check, Step, done, needed


def flush_sql(names: Names) -> str:
    """Set sequences ($1 names, $2 values) and record that the side is ready for switch $3 ($4 direction).

    The commit of this one statement flushes all WAL before it; the position that it returns lies
    behind everything that was applied.
    """
    return (
        f"INSERT INTO {names.relation('switch')} (number, role, direction, open_lsn)"
        " SELECT $3::bigint, 'ready', $4::text, pg_current_wal_insert_lsn()"
        " FROM (SELECT count(setval(s.name::regclass, s.value)) AS set"
        "       FROM unnest($1::text[], $2::bigint[]) s (name, value)) AS x WHERE x.set >= 0"
        " ON CONFLICT (number, role) DO UPDATE SET open_lsn = excluded.open_lsn, at = clock_timestamp()"
        " RETURNING (open_lsn - '0/0')::bigint"
    )


def gate_sql(names: Names) -> str:
    """Where the gate of a side stands: the number of the switch that opened it, if it is open."""
    return f"SELECT last_value FROM {names.relation('gate')}"


def open_sql(names: Names) -> str:
    """Open the gate of a side for switch $1."""
    return f"SELECT setval({literal(names.relation('gate'))}::regclass, $1::bigint)"


class PastReturnError(SplitError):
    """The step decided the switch; what takes it back is a switch in the other direction."""

    def __init__(self, direction: Direction, service: str) -> None:
        command = "rollback" if direction is Direction.FORWARD else "cutover"
        super().__init__(
            f"the {direction.target} database owns the tables of {service} now;"
            f" `migrate {command} {service}` takes that back without losing anything"
        )


class UrgentStep(Step[SwitchContext]):
    """Before the commit of the fence nothing lasts: when the connection ends, the server undoes it."""

    is_urgent: ClassVar[bool] = True
    deadline_seconds = 2.0

    async def check(self, context: SwitchContext) -> Check:
        # whoever holds the lock knows that nobody else has committed the switch
        if context.locked is None and await context.is_fenced():
            return done("the switch is committed")
        return done() if self.is_there(context) else needed()

    def is_there(self, context: SwitchContext) -> bool:
        """Whether this process has brought the effect about."""
        raise AssertionError(f"{type(self).__name__} does not say when it is done")

    async def undo(self, context: SwitchContext) -> None:
        if await context.is_fenced():
            raise PastReturnError(context.direction, context.split.spec.service)
        await self.take_back(context)

    async def take_back(self, context: SwitchContext) -> None:
        """Forget the effect; by default it was only knowledge."""


class Lock(UrgentStep):
    """The owner's tables are locked: running writers have finished, new ones queue, reads go on."""

    name = "lock"
    title = "lock the tables of the owner: writers wait, reads go on"
    deadline_seconds = 60.0

    def is_there(self, context: SwitchContext) -> bool:
        return context.locked is not None

    async def apply(self, context: SwitchContext) -> Mapping[str, Any]:
        split, side = context.split, context.direction.source
        await context.learn_tables()
        locker = await context.session(side, "fence")
        locked = await lock_tables(
            locker,
            await context.session(side, "monitor"),
            context.order,
            context.limits,
            is_superuser=split.facts[side].is_superuser,
        )
        context.locker = locker
        context.locked = locked
        context.failed_attempts += locked.failed_attempts
        context.marks["requested"] = locked.requested_at
        context.marks["locked"] = locked.granted_at
        context.preparing = asyncio.create_task(prepare_fence(context, locker))
        return {"failed_attempts": context.failed_attempts}

    async def take_back(self, context: SwitchContext) -> None:
        await context.let_go()


async def prepare_fence(context: SwitchContext, locker: Connection) -> list[SequenceValue]:
    """While the token travels: all of the fence but its commit; then read the sequences."""
    names = context.split.names
    await locker.execute(
        shut_sql(names, fenced_tables(context.split), context.number)
        + f" INSERT INTO {names.relation('switch')} (number, role, direction)"
        f" VALUES ({context.number}, 'fenced', {literal(context.direction)});"
        f" INSERT INTO {names.command.sql} (number, opens)"
        f" VALUES ({context.number}, {literal(context.direction.target)})"
    )
    values = await context.sequences.read(locker)
    context.mark("prepared")
    return values


class Token(UrgentStep):
    """The token is written after the lock: its arrival proves that everything has arrived."""

    name = "token"
    title = "write the token behind the last change"

    def is_there(self, context: SwitchContext) -> bool:
        return context.token is not None

    async def apply(self, context: SwitchContext) -> None:
        source = await context.session(context.direction.source, "monitor")
        context.token = await bump_token(source, context.split.names)
        context.mark("token")

    async def take_back(self, context: SwitchContext) -> None:
        context.token = None


class Applied(UrgentStep):
    """The token has arrived on the winner."""

    name = "applied"
    title = "see the token on the other side: everything is applied there"
    deadline_seconds = 60.0

    def is_there(self, context: SwitchContext) -> bool:
        return context.is_applied

    async def apply(self, context: SwitchContext) -> Mapping[str, Any]:
        """When the token is late, writers go on for a while before everything starts again."""
        limits = context.limits
        for attempt in range(1, limits.token_attempts + 1):
            try:
                await self._see(context)
                break
            except TokenLateError:
                await context.let_go()
                if attempt == limits.token_attempts:
                    raise
                await asyncio.sleep(limits.token_backoff_seconds * attempt)
                await Lock().apply(context)
                await Token().apply(context)
        context.is_applied = True
        context.mark("applied")
        return {"attempts": attempt}

    async def _see(self, context: SwitchContext) -> None:
        if context.token is None:
            raise SplitError("the token was not written; run the command again")
        target = await context.session(context.direction.target, "monitor")
        await wait_for_token(
            target,
            context.split.names,
            context.token,
            context.direction,
            context.split.limits.token_seconds,
        )

    async def take_back(self, context: SwitchContext) -> None:
        context.is_applied = False


async def flush(
    connection: Connection, context: SwitchContext, names: Sequence[str], numbers: Sequence[int]
) -> int:
    """Run `flush_sql`; returns the position behind which everything is the winner's own."""
    position = await connection.fetchval(
        flush_sql(context.split.names),
        list(names),
        list(numbers),
        context.number,
        context.direction.value,
    )
    return int(position)


class Flush(UrgentStep):
    """The winner's sequences stand beyond the loser's, and all that was applied is on its disk.

    Visible is not durable: the apply worker commits asynchronously, and a winner that crashed after
    the fence would have lost what it had shown. A gap in sequences left by an undone switch is
    harmless.
    """

    name = "flush"
    title = "set the sequences of the new owner and flush what was applied to its disk"

    def is_there(self, context: SwitchContext) -> bool:
        return context.open_lsn is not None

    async def apply(self, context: SwitchContext) -> Mapping[str, Any]:
        """One statement; the fence is ready by the time it runs."""
        if context.preparing is None:
            raise SplitError("the fence was not prepared; run the command again")
        values = await context.preparing
        target = await context.session(context.direction.target, "monitor")
        names, numbers = targets(values, context.split.limits.sequence_gap)
        context.open_lsn = await flush(target, context, names, numbers)
        context.mark("flushed")
        return {"open_lsn": context.open_lsn, "sequences": len(values)}

    async def take_back(self, context: SwitchContext) -> None:
        context.open_lsn = None


class Fence(UrgentStep):
    """The point of no return: one commit on the loser, which tells the winner to open."""

    name = "fence"
    title = "commit the fence; the same commit tells the other side to open"

    async def check(self, context: SwitchContext) -> Check:
        """Only the server knows: the connection may have broken after the commit."""
        return done("the switch is committed") if await context.is_fenced() else needed()

    async def apply(self, context: SwitchContext) -> Mapping[str, Any]:
        locker = context.locker
        if locker is None or context.open_lsn is None or not context.is_applied:
            raise SplitError("the fence has no lock to commit; run the command again")
        # on the connection that holds the lock or not at all: if the server has ended it meanwhile,
        # this fails, and nothing has happened
        status = await locker.execute("COMMIT")
        if status != "COMMIT":  # PostgreSQL answers ROLLBACK when the transaction was broken
            raise SplitError("the fence was taken back by the server; run the command again")
        context.locked = None  # the commit has let go of it
        context.mark("fenced")
        return {"open_lsn": context.open_lsn}


async def warm_up(context: SwitchContext) -> None:
    """Run every statement of the moment once on its own connection, so that none is planned then."""
    split = context.split
    source = await context.session(context.direction.source, "monitor")
    target = await context.session(context.direction.target, "monitor")
    value = await bump_token(source, split.names)
    await wait_for_token(target, split.names, value, context.direction, 5.0)
    await context.sequences.read(await context.session(context.direction.source, "fence"))
    await flush(target, context, (), ())
    context.opening = await target.prepare(open_sql(split.names))


class Open(UrgentStep):
    """The winner accepts writes: by this step, or by its apply worker if the tool has died."""

    name = "open"
    title = "open the new owner"
    deadline_seconds = 30.0

    async def check(self, context: SwitchContext) -> Check:
        if context.locker is not None:
            return needed()  # this process has committed the fence a moment ago
        target = await context.split.control(context.direction.target)
        is_open = await target.fetchval(gate_sql(context.split.names)) == context.number
        return done("the apply worker has opened it") if is_open else needed()

    async def apply(self, context: SwitchContext) -> None:
        """The loser has committed, so opening is right; the apply worker may do it at the same time."""
        if context.opening is not None:
            await context.opening.fetchval(context.number)
        else:
            target = await context.session(context.direction.target, "monitor")
            await target.fetchval(open_sql(context.split.names), context.number)
        context.locker = None
        context.mark("opened")

    async def undo(self, context: SwitchContext) -> None:
        raise PastReturnError(context.direction, context.split.spec.service)
