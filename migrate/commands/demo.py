"""`migrate demo`: one service leaves the monolith and comes back under live traffic, in one command."""

from __future__ import annotations

import os
import time
from typing import Annotated

import typer

from migrate.commands.stack import stack_of
from migrate.context import get_context, run
from migrate.demo.report import DemoReport, print_report
from migrate.demo.scenario import Plan, System, demonstrate
from migrate.report import console, print_error
from migrate.stack.env_file import write_private
from migrate.stack.local import LocalStack


async def _demo(
    stack: LocalStack, plan: Plan, begun_at: float, *, keep: bool, quiet: bool
) -> DemoReport:
    started = await stack.up()
    setup_seconds = round(time.time() - begun_at, 1)
    facts = stack.facts
    if not quiet:
        what = "the stack was up already" if not started else f"set up in {setup_seconds} s in all"
        console.print(f"{what}; public address {facts.public_url}")
    system = System(
        facts.public_url, facts.admin_ports, facts.credentials.admin_token, facts.shared_url
    )
    try:
        return await demonstrate(
            system,
            plan,
            setup_seconds,
            lambda line: None if quiet else console.print(f"  {line}", markup=False),
        )
    finally:
        if started and not keep:
            await stack.down()


def demo(
    rate: Annotated[float, typer.Option("--rate", min=1, help="Requests a second.")] = 330.0,
    clients: Annotated[int, typer.Option("--clients", min=1, max=5000)] = 120,
    step_seconds: Annotated[
        float, typer.Option("--step-seconds", min=1, help="Time at each percent.")
    ] = 5.0,
    service: Annotated[str, typer.Option("--service", help="Which one moves.")] = "content",
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the stack running afterwards.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Start the stack, send mixed requests, move a service 0 to 100 percent, back and again, and report.

    Exit code 1 when a request failed or an answer changed with the side. The report is also written to
    demo-report.json in the directory of the stack.
    """
    begun_at = float(os.environ.get("STRANGLER_STARTED_AT") or time.time())
    stack = stack_of(get_context(), quiet=as_json)
    plan = Plan(
        service=service, requests_per_second=rate, clients=clients, step_seconds=step_seconds
    )
    report = run(_demo(stack, plan, begun_at, keep=keep, quiet=as_json))
    text = report.model_dump_json(indent=2)
    write_private(stack.layout.demo_report, text + "\n")
    if as_json:
        typer.echo(text)
    else:
        print_report(report, console)
        console.print(f"set-up took {report.setup_seconds} s; report: {stack.layout.demo_report}")
    for problem in report.problems:
        print_error(problem)
    if report.problems:
        raise typer.Exit(1)
