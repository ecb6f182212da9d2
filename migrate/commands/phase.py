"""`migrate phase list|show|start|complete`: the phases of the manifest, carried out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from importlib.util import find_spec
from typing import Annotated, Any

import typer

from migrate.commands.dokku import Host, Json, ask, prepare, say
from migrate.context import Context, get_context, run
from migrate.dokku.phases.commands import CommandLine, LocalCommands, OperatorCommands
from migrate.dokku.phases.criteria import Verdict
from migrate.dokku.phases.proof import ask_router, state_problems, watch_quiet
from migrate.dokku.phases.runner import (
    StepReport,
    complete,
    find_phase,
    outlook,
    roll_back,
    start,
    statuses,
    verdicts,
)
from migrate.dokku.phases.steps import kind_of
from migrate.dokku.phases.world import World
from migrate.dokku.session import open_session
from migrate.exit_codes import ExitCode
from migrate.report import console, print_json, print_table
from shared.states import PhaseStatus

app = typer.Typer(
    help="The phases of the migration: what each does, proves and takes back.", no_args_is_help=True
)

Number = Annotated[str, typer.Argument(metavar="N", help="Number or name of a phase.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")]


@asynccontextmanager
async def open_world(
    context: Context, host: str | None, *, yes: bool = False, quiet: bool = False
) -> AsyncIterator[World]:
    """A session with the host, and the way to the databases: from here, or beside them."""
    async with open_session(context.manifest, host) as session:
        prepare(session, yes=yes, quiet=quiet)
        commands: CommandLine = LocalCommands(context.manifest_path, context.stack_directory)
        if session.section.operator and not context.setting("SHARED_DATABASE_URL"):
            commands = OperatorCommands(session.transport, session.section.operator)
        world = World(
            session,
            commands,
            confirm=partial(ask, yes=yes),
            has_judged_ramp=find_spec("migrate.commands.ramp") is not None,
        )
        if not quiet:
            world.say = say
        yield world


@app.command("list")
def list_phases(host: Host = None, as_json: Json = False) -> None:
    """Every phase with its status."""
    context = get_context()

    async def work() -> dict[int, PhaseStatus]:
        async with open_world(context, host, quiet=True) as world:
            return await statuses(world)

    known = run(work())
    rows = [
        {
            "number": phase.number,
            "name": phase.name,
            "status": str(known.get(phase.number, "unknown")),
            "after": list(phase.after),
            "summary": phase.summary,
        }
        for phase in context.manifest.phases
    ]
    if as_json:
        print_json(rows)
        return
    print_table("Phases", tuple(rows[0]) if rows else (), (tuple(row.values()) for row in rows))


@app.command("show")
def show(
    number: Number,
    host: Host = None,
    live: Annotated[
        bool, typer.Option("--live", help="Also look at the host: what is done, what holds.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Steps, success criteria and rollback of a phase."""
    context = get_context()
    phase = find_phase(context.manifest.phases, number)
    steps = [StepReport(n, kind_of(s).describe(s), "", 0.0) for n, s in enumerate(phase.steps, 1)]
    found: tuple[Verdict, ...] = ()
    if live:

        async def work() -> tuple[tuple[StepReport, ...], tuple[Verdict, ...]]:
            async with open_world(context, host, quiet=True) as world:
                return await outlook(world, phase, phase.steps), await verdicts(world, phase)

        looked, found = run(work())
        steps = list(looked)
    if as_json:
        data: dict[str, Any] = phase.model_dump(mode="json", by_alias=True)
        data["outlook"] = [{"step": row.text, "state": row.outcome} for row in steps]
        data["verdicts"] = [_verdict(row) for row in found]
        print_json(data)
        return
    say(f"phase {phase.number} {phase.name}: {phase.summary}")
    for row in steps:
        say(f"  {row.number}. {row.text}" + (f"  [{row.outcome}]" if row.outcome else ""))
    say("complete when:")
    if found:
        _say_verdicts(found)
    else:
        for criterion in phase.criteria:
            say(f"  {criterion.check}: {criterion.model_dump(exclude={'check'})}")
    say("back with:")
    for step in phase.rollback:
        say(f"  {kind_of(step).describe(step)}")


@app.command("start")
def start_phase(
    number: Number,
    host: Host = None,
    rollback: Annotated[bool, typer.Option("--rollback", help="Go the way back.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done.")
    ] = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Run the steps that are not done yet, in order; asks before anything that interrupts."""
    context = get_context()
    phase = find_phase(context.manifest.phases, number)

    async def work() -> tuple[StepReport, ...]:
        async with open_world(context, host, yes=yes, quiet=as_json) as world:
            if dry_run:
                return await outlook(world, phase, phase.rollback if rollback else phase.steps)
            return await (roll_back if rollback else start)(world, phase)

    reports = run(work())
    if as_json:
        print_json(
            [
                {"step": r.text, "outcome": r.outcome, "seconds": round(r.seconds, 1)}
                for r in reports
            ]
        )
        return
    if dry_run:
        for row in reports:
            say(f"  {row.number}. {row.text}: {row.outcome}")
        return
    if rollback:
        say(f"phase {phase.number} is taken back")
        return
    say(f"phase {phase.number} is through; check it with: migrate phase complete {phase.number}")


@app.command("complete")
def complete_phase(number: Number, host: Host = None, as_json: Json = False) -> int:
    """Check the success criteria; when all hold, record the phase as completed."""
    context = get_context()
    phase = find_phase(context.manifest.phases, number)

    async def work() -> tuple[Verdict, ...]:
        async with open_world(context, host, quiet=as_json) as world:
            return await complete(world, phase)

    found = run(work())
    holds = all(row.holds for row in found)
    if as_json:
        print_json({"complete": holds, "verdicts": [_verdict(row) for row in found]})
    else:
        _say_verdicts(found)
        say(f"phase {phase.number} is {'completed' if holds else 'not complete'}")
    return ExitCode.OK if holds else ExitCode.REFUSED


def _say_verdicts(found: tuple[Verdict, ...]) -> None:
    for row in found:
        say(f"  {'yes' if row.holds else 'NO '} {row.what} ({row.seen})")


def _verdict(row: Verdict) -> dict[str, object]:
    return {"criterion": row.what, "holds": row.holds, "seen": row.seen}


@app.command("mark", hidden=True)
def mark_phase(number: Number, status: Annotated[PhaseStatus, typer.Argument()]) -> None:
    """Record a status in the control store; `start` and `complete` do this beside the database."""
    context = get_context()
    phase = find_phase(context.manifest.phases, number)

    async def work() -> None:
        async with context.store() as store:
            await store.set_phase(
                phase.number, status, actor=context.actor, reason=f"phase {phase.name}"
            )

    run(work())
    console.print(f"phase {phase.number} is {status}")


@app.command("proof", hidden=True)
def proof(
    quiet_minutes: Annotated[float, typer.Option("--quiet-minutes", min=0)] = 60.0,
) -> int:
    """Whether nothing is left at the monolith; needs the control store and the router's counters."""
    from migrate.commands.status import service_rows

    context = get_context()
    url = context.require("ROUTER_ADMIN_URL", "the router's admin port")
    token = context.require("ADMIN_TOKEN", "its token")

    async def work() -> tuple[str, ...]:
        async with context.store() as store:
            rows = service_rows(context.manifest, await store.state())
        if problems := state_problems(context.manifest, rows):
            return problems
        return await watch_quiet(lambda: ask_router(url, token), quiet_minutes * 60)

    problems = run(work())
    for problem in problems:
        say(problem)
    say("the monolith is still needed" if problems else "nothing reaches the monolith")
    return ExitCode.REFUSED if problems else ExitCode.OK
