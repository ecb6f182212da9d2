"""The operations of a split as one call each: journal, lock of the service, plan, report."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from migrate.split.canary import Canary
from migrate.split.context import SplitContext
from migrate.split.names import Direction, Side
from migrate.split.scaffold import has_scaffold
from migrate.split.split_plan import split_plan
from migrate.split.switch import SwitchContext, SwitchOptions, read_ownership
from migrate.split.switch_plan import COMMANDS, switch_plan
from migrate.split.throttle import Throttle
from migrate.steps import Outcome, Plan, Runner
from shared.control.errors import OperationRunningError
from shared.control.journal import Journal, Operation

#: How long to wait for the lock of a service, in seconds: the server notices a dead client sooner.
LOCK_SECONDS = 3.0


@asynccontextmanager
async def operation(
    context: SplitContext, kind: str, data: Mapping[str, Any] | None = None
) -> AsyncIterator[tuple[Journal, Operation]]:
    """The running or a new operation of this kind, while nobody else works on the service."""
    desk = context.control_desk
    journal = Journal(desk.store)
    async with exclusive(context):
        row = await journal.begin(kind, context.spec.service, actor=desk.actor, data=data)
        context.operation = row.id
        yield journal, row


@asynccontextmanager
async def exclusive(context: SplitContext) -> AsyncIterator[None]:
    """The lock of the service; a command that was just killed may hold it for another moment."""
    journal = Journal(context.control_desk.store)
    until = asyncio.get_running_loop().time() + LOCK_SECONDS
    async with AsyncExitStack() as stack:
        while True:
            try:
                await stack.enter_async_context(journal.exclusive(context.spec.service))
                break
            except OperationRunningError:
                if asyncio.get_running_loop().time() > until:
                    raise
                await asyncio.sleep(0.05)
        yield


async def current_direction(context: SplitContext) -> Direction | None:
    """Which way rows flow now; None without a split or while a switch is under way."""
    if not await has_scaffold(context, Side.SHARED):
        return None
    owner = (await read_ownership(context)).owner
    if owner is None:
        return None
    return Direction.FORWARD if owner is Side.SHARED else Direction.REVERSE


async def run_split(
    context: SplitContext,
    *,
    copy_jobs: int = 4,
    verify_jobs: int = 2,
    throttle: Throttle | None = None,
    direct: bool = False,
) -> Outcome:
    """Copy the service's tables to its own database and let them follow; goes on after a crash."""
    plan = split_plan(
        copy_jobs=copy_jobs, verify_jobs=verify_jobs, throttle=throttle, direct=direct
    )
    async with operation(context, plan.kind) as (journal, row):
        again = f"migrate db split {context.spec.service}"
        runner = Runner(plan, journal, row.id, again=again, observer=context.observer)
        return await runner.run(context)


async def run_plan(context: SplitContext, plan: Plan[SplitContext]) -> Outcome:
    """Run an abort or a finalize; goes on where an earlier run ended."""
    async with operation(context, plan.kind) as (journal, row):
        again = f"migrate db {plan.kind} {context.spec.service}"
        runner = Runner(plan, journal, row.id, again=again, observer=context.observer)
        return await runner.run(context)


async def run_switch(
    context: SplitContext, direction: Direction, options: SwitchOptions | None = None
) -> tuple[Outcome, dict[str, Any]]:
    """Change the owner of the tables; returns the outcome and the measured figures."""
    plan: Plan[SwitchContext] = switch_plan(direction)
    async with operation(context, plan.kind) as (journal, row):
        switch = await SwitchContext.begin(context, direction, options)
        again = f"migrate {COMMANDS[direction]} {context.spec.service}"
        runner = Runner(plan, journal, row.id, again=again, observer=context.observer)
        try:
            if not await switch.is_fenced():
                switch.canary = Canary(context, direction.source, switch.number)
                await switch.canary.start()
            outcome = await runner.run(switch)
        finally:
            await switch.close()
        report = switch.report()
        await journal.remember(row.id, report)
        return outcome, report
