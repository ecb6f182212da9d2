"""Carries out plans: reads, plans and runs commands until the host is as the manifest says."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from migrate.dokku.argv import DokkuCommand
from migrate.dokku.change import Change, Effect, Plan
from migrate.dokku.desired import DesiredHost
from migrate.dokku.digests import Digests, NoDigests
from migrate.dokku.observed import ObservedHost
from migrate.dokku.plan import Planner
from migrate.dokku.reading import observe, report
from migrate.dokku.transport import Redactor, Transport, must
from shared.errors import OperatorError

#: Rounds of reading and mending: stores first show their addresses, then apps use them; one more proves it.
ROUNDS = 4


class BlockedError(OperatorError):
    """Somebody has to act before anything can be changed."""

    exit_code = 3

    def __init__(self, problems: Sequence[str]) -> None:
        lines = "\n".join(f"  {problem}" for problem in problems)
        super().__init__(f"nothing was changed; {len(problems)} thing(s) need you first:\n{lines}")
        self.problems = tuple(problems)


class DeclinedError(OperatorError):
    """The operator said no."""

    exit_code = 3

    def __init__(self) -> None:
        super().__init__("declined; nothing further was changed")


class DidNotStickError(OperatorError):
    """The commands succeeded and the difference is still there."""

    def __init__(self, changes: Sequence[Change]) -> None:
        keys = sorted(f"{c.subject} {d.key}" for c in changes for d in c.differences)
        super().__init__(
            f"the host accepted the commands, but still differs: {', '.join(keys)};"
            " look at them with `migrate dokku plan --commands` and on the host"
        )
        self.keys = tuple(keys)


class NotRunningError(OperatorError):
    """An app does not run as a whole after its containers were replaced."""

    def __init__(self, app: str, running: str) -> None:
        super().__init__(
            f"{app}: new containers were asked for, but running is {running!r}; old ones that passed"
            f" their checks go on. See `dokku logs:failed {app}`, mend the cause, then run the same"
            " command again"
        )
        self.app = app
        self.running = running


@dataclass
class Progress:
    """What an operator sees while a plan is carried out; the default shows nothing."""

    on_plan: Callable[[Plan, int], None] = lambda _plan, _round: None
    on_command: Callable[[Change, DokkuCommand], None] = lambda _change, _command: None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was done."""

    commands: int
    restarted: frozenset[str]
    rounds: int
    remaining: Plan


async def nobody_asks(_plan: Plan) -> bool:
    """Go on whatever the plan disturbs."""
    return True


@dataclass
class Applier:
    """Reads the host, plans and acts. One object per run of a command."""

    transport: Transport
    desired: DesiredHost
    planner: Planner = field(default_factory=Planner)
    digests: Digests = field(default_factory=NoDigests)
    progress: Progress = field(default_factory=Progress)
    redact: Redactor = field(default_factory=Redactor)
    #: Asked before the first plan that interrupts something, with the plan.
    confirm: Callable[[Plan], Awaitable[bool]] = nobody_asks

    async def observe(
        self,
        apps: Sequence[str],
        before: ObservedHost | None = None,
        touched: frozenset[str] = frozenset(),
    ) -> ObservedHost:
        """The host as it is; what is in `before` and not `touched` is not read again."""
        kept = await self.digests.load()
        return await observe(self.transport, self.desired, apps, kept, before, touched)

    async def plan(self, apps: Sequence[str]) -> Plan:
        """What would be done now."""
        return self.planner.plan(self.desired, await self.observe(apps), apps)

    async def apply(self, apps: Sequence[str]) -> Outcome:
        """Make the host as the manifest says; safe to interrupt and to run again.

        Raises BlockedError before any change, CommandFailedError and NotRunningError at the first
        failure, DidNotStickError when a round ends where it began.
        """
        before: Plan | None = None
        seen: ObservedHost | None = None
        asked = False
        count, restarted = 0, frozenset[str]()
        for number in range(1, ROUNDS + 1):
            seen = await self.observe(apps, seen, before.touched() if before else frozenset())
            plan = self.planner.plan(self.desired, seen, apps)
            if number == 1 and plan.blocked:
                raise BlockedError([f"{note.subject}: {note.text}" for note in plan.blocked])
            if not plan.changes:
                return Outcome(count, restarted, number, plan)
            if before is not None and _same(before, plan):
                raise DidNotStickError(plan.changes)
            if plan.effect is Effect.INTERRUPT and not asked:
                if not await self.confirm(plan):
                    raise DeclinedError
                asked = True
            self.progress.on_plan(plan, number)
            for change in plan.changes:
                await self.carry_out(change)
                count += len(change.commands)
            restarted |= plan.restarted()
            before = plan
        raise DidNotStickError((await self.plan(apps)).changes)

    async def carry_out(self, change: Change) -> None:
        """Run the commands of one change, and see that what was replaced runs."""
        for one in change.commands:
            self.progress.on_command(change, one)
            await must(self.transport, one, self.redact)
        await self.digests.keep(change.digests)
        for app in sorted(change.redeploys):
            found = await report(self.transport, "ps", app)
            if found.get("deployed") == "true" and found.get("running") != "true":
                scaled_to_nothing = found.get("processes") == "0"
                if not scaled_to_nothing:
                    raise NotRunningError(app, found.get("running", ""))


def _same(one: Plan, other: Plan) -> bool:
    def keys(plan: Plan) -> set[tuple[str, str, str]]:
        return {
            (change.subject, difference.key, difference.after)
            for change in plan.changes
            for difference in change.differences
        }

    return keys(one) == keys(other)
