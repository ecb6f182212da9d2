"""`migrate dokku …`: the host as the manifest wants it."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from migrate.context import get_context, run
from migrate.dokku.apply import Outcome, Progress
from migrate.dokku.argv import DokkuCommand, shell_line
from migrate.dokku.change import Change, Effect, Plan
from migrate.dokku.compose import compose_file
from migrate.dokku.desired import chosen, desired_host, section_of
from migrate.dokku.doctor import Finding, Level, examine
from migrate.dokku.export import export_host
from migrate.dokku.preview import Preview, preview
from migrate.dokku.script import write_script
from migrate.dokku.session import Session, open_session
from migrate.dokku.show import effect_words, plan_data, plan_lines
from migrate.dokku.values import resolve
from migrate.exit_codes import ExitCode
from migrate.report import console, print_json, print_table

app = typer.Typer(
    help="The Dokku host: what differs from the manifest, and making it so.", no_args_is_help=True
)

Apps = Annotated[list[str] | None, typer.Argument(help="Apps; all without a name.")]
Host = Annotated[
    str | None,
    typer.Option("--host", help="[user@]host[:port], or `local`; else DOKKU_HOST, else manifest."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def say(line: str) -> None:
    """One line as it is."""
    console.print(line, markup=False, soft_wrap=True)


@app.command("plan")
def show_plan(
    apps: Apps = None,
    host: Host = None,
    commands: Annotated[bool, typer.Option("--commands", help="Show the commands.")] = False,
    as_json: Json = False,
) -> int:
    """What differs, and what mending it disturbs. Exit code 0: nothing, 2: something, 1: failed."""
    manifest = get_context().manifest

    async def work() -> Plan:
        async with open_session(manifest, host) as session:
            return await session.applier.plan(chosen(manifest, apps or ()))

    plan = run(work())
    if as_json:
        print_json(plan_data(plan))
    else:
        for line in plan_lines(plan, commands=commands):
            say(line)
    return ExitCode.OK if plan.is_empty else ExitCode.USAGE


@app.command("drift")
def drift(apps: Apps = None, host: Host = None, as_json: Json = False) -> int:
    """Like plan, for what is deployed: also which revision runs, and what nobody manages."""
    context = get_context()

    async def work() -> tuple[Plan, list[tuple[str, str, str]]]:
        async with open_session(context.manifest, host) as session:
            names = chosen(context.manifest, apps or ())
            plan = await session.applier.plan(names)
            revision = await session.repository.revision()
            found = await session.deployer.candidates(names, revision)
            rows = [(c.app, c.running[:12] or "(nothing)", c.reason) for c in found]
            return plan, rows

    plan, rows = run(work())
    behind = [row for row in rows if row[2]]
    if as_json:
        data = [{"app": app, "runs": runs, "behind": why} for app, runs, why in rows]
        print_json({**plan_data(plan), "revisions": data})
    else:
        for line in plan_lines(plan):
            say(line)
        print_table("Revisions", ("app", "runs", "behind"), rows)
    return ExitCode.OK if plan.is_empty and not behind else ExitCode.USAGE


@app.command("apply")
def apply(
    apps: Apps = None,
    host: Host = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show the commands.")] = False,
    keep_running: Annotated[
        bool, typer.Option("--no-restart", help="Replace no containers; changes act later.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Make the host as the manifest says. Safe to interrupt and to run again."""
    if dry_run:
        return show_plan(apps, host, commands=True, as_json=as_json)
    manifest = get_context().manifest

    async def work() -> Outcome:
        async with open_session(manifest, host) as session:
            prepare(session, yes=yes, quiet=as_json, keep_running=keep_running)
            return await session.applier.apply(chosen(manifest, apps or ()))

    outcome = run(work())
    if as_json:
        print_json(
            {
                "commands": outcome.commands,
                "restarted": sorted(outcome.restarted),
                "remaining": plan_data(outcome.remaining),
            }
        )
    else:
        for line in plan_lines(outcome.remaining):
            say(line)
        say(f"{outcome.commands} command(s) run")
    return ExitCode.OK


def prepare(
    session: Session, *, yes: bool, quiet: bool = False, keep_running: bool = False
) -> None:
    """Give an applier its voice: progress on the terminal, and a question before interruptions."""
    applier = session.applier
    if keep_running:
        applier.planner = replace(applier.planner, keep_running=True)

    def on_command(change: Change, one: DokkuCommand) -> None:
        words = effect_words(change)
        say(f"{change.subject}: {shell_line(one)}" + (f"   # {words}" if words else ""))

    async def confirm(plan: Plan) -> bool:
        for change in plan.changes:
            if change.effect is Effect.INTERRUPT and not quiet:
                say(
                    f"{change.subject}: {', '.join(d.key for d in change.differences)} interrupts it"
                )
        return await ask("go on?", yes=yes)

    if not quiet:
        applier.progress = Progress(on_command=on_command)
    applier.confirm = confirm


async def ask(question: str, *, yes: bool) -> bool:
    """A question before something that interrupts; without a terminal only --yes is a yes."""
    if yes:
        return True
    if not sys.stdin.isatty():
        say("this interrupts something and there is nobody to ask; say --yes to go on")
        return False
    return await asyncio.to_thread(typer.confirm, question)


@app.command("script")
def script(
    apps: Apps = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file.")] = None,
) -> None:
    """A shell script that brings an empty host to the manifest's state; connects to nothing."""
    manifest = get_context().manifest
    values, missing = run(resolve(manifest))
    text = write_script(desired_host(manifest, values, missing), chosen(manifest, apps or ()))
    if output is None:
        sys.stdout.write(text)
        return
    output.write_text(text, encoding="utf-8")
    output.chmod(0o755)
    say(f"written to {output}")


@app.command("doctor")
def doctor(host: Host = None, as_json: Json = False) -> int:
    """Look at everything that a plan needs, and say what to type where something is wrong."""
    context = get_context()

    async def work() -> tuple[Finding, ...]:
        async with open_session(context.manifest, host) as session:
            return await examine(session)

    findings = run(work())
    if as_json:
        print_json([{"level": f.level, "what": f.what, "advice": f.advice} for f in findings])
    else:
        for finding in findings:
            say(f"{finding.level:<4} {finding.what}")
            if finding.advice:
                say(f"       {finding.advice}")
    return ExitCode.FAILED if any(f.level is Level.BAD for f in findings) else ExitCode.OK


@app.command("preview")
def show_preview(
    app_name: Annotated[str, typer.Argument(metavar="APP", help="An app.")],
    host: Host = None,
    ref: Annotated[str, typer.Option("--ref", help="The commit to deploy.")] = "HEAD",
    as_json: Json = False,
) -> None:
    """What the next deploy of an app would do, step by step; on k3s with Dokku's own difference."""
    manifest = get_context().manifest
    (name,) = chosen(manifest, [app_name])

    async def work() -> Preview:
        async with open_session(manifest, host) as session:
            return await preview(session, name, ref)

    found = run(work())
    if as_json:
        print_json(found.data())
        return
    for line in found.lines():
        say(line)


@app.command("export")
def export(
    host: Annotated[str, typer.Argument(help="[user@]host[:port], or `local`.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file.")] = None,
) -> None:
    """Write the Dokku part of a manifest from a live host; values of variables are left out."""
    text = run(export_host(host))
    if output is None:
        sys.stdout.write(text)
        return
    output.write_text(text, encoding="utf-8")
    say(f"written to {output}")


@app.command("compose")
def compose(
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file.")] = None,
) -> None:
    """A compose file with the same apps, stores and image, for a machine with Docker."""
    manifest = get_context().manifest
    section_of(manifest)
    text = compose_file(manifest)
    if output is None:
        sys.stdout.write(text)
        return
    output.write_text(text, encoding="utf-8")
    say(f"written to {output}; start it with: docker compose -f {output} up --build")
