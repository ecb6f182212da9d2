"""`migrate events status|topology|doctor`, and the root of its other subcommands."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from migrate.commands import events_parked, events_publish, events_schemas
from migrate.commands.events_publish import InvalidDataError
from migrate.context import get_context, run
from migrate.doctor.finding import Finding
from migrate.events_desk import EventsDesk, open_desk
from migrate.events_findings import findings
from migrate.report import console, print_json, print_table
from shared.events import outbox
from shared.events.outbox import OutboxLag
from shared.events.rabbitmq.inspection import QueueState, differences, queue_states
from shared.events.topology import LADDER_SECONDS
from shared.placement.session import begin

app = typer.Typer(help="Events: outboxes, queues, parked messages.", no_args_is_help=True)
app.add_typer(events_schemas.app, name="schemas")
app.command("tail")(events_publish.tail)
app.command("publish")(events_publish.publish)
app.command("republish")(events_publish.republish)
app.command("parked")(events_parked.parked)
app.command("replay")(events_parked.replay_parked)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("status")
def status(as_json: AsJson = False) -> None:
    """Queues of every consumer, outboxes of every database."""
    queues, lags = run(_status())
    if as_json:
        print_json({"consumers": queues, "outboxes": {n: _lag(lag) for n, lag in lags.items()}})
        return
    print_table(
        "Queues",
        ("consumer", "ready", "consumers", "waiting", "parked"),
        (
            (
                row["consumer"],
                _number(row["ready"]),
                row["consumers"],
                row["waiting"],
                row["parked"],
            )
            for row in queues
        ),
    )
    print_table(
        "Outboxes",
        ("database", "unsent", "failing", "oldest s", "last error"),
        (
            (name, lag.unsent, lag.failing, f"{lag.oldest_seconds:.1f}", lag.last_error)
            for name, lag in lags.items()
        ),
    )


@app.command("topology")
def topology(
    consumer: Annotated[
        list[str] | None, typer.Option("--consumer", help="A service or monolith; repeatable.")
    ] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Declare what is missing.")] = False,
    as_json: AsJson = False,
) -> None:
    """What must exist on the broker and what differs; with --apply it is declared.

    Declare a consumer right before its first deployment: from then on its queue collects events.
    """
    if apply and not consumer:
        raise InvalidDataError("--apply needs --consumer: a queue without a worker only grows")
    wanted, problems = run(_topology(consumer, apply=apply))
    if as_json:
        print_json({"wanted": wanted, "differences": problems, "applied": apply})
    else:
        print_table("Wanted", ("consumer", "queue", "bound to"), wanted)
        for problem in problems:
            console.print(f"- {problem}", markup=False)
        console.print("declared" if apply else f"{len(problems)} difference(s)")
    if problems:
        raise typer.Exit(2)


@app.command("doctor")
def doctor(as_json: AsJson = False) -> None:
    """Check broker, queues and outboxes; exit code 1 when something needs a person."""
    found = run(_doctor())
    if as_json:
        print_json({"findings": [finding.as_row() for finding in found]})
    else:
        for finding in found:
            console.print(f"{finding.level:8} {finding.subject}: {finding.message}", markup=False)
    if any(finding.level == "error" for finding in found):
        raise typer.Exit(1)


async def _status() -> tuple[list[dict[str, Any]], dict[str, OutboxLag]]:
    async with open_desk(get_context(), databases=True) as desk:
        rows = [_consumer_row(desk, name, await _states(desk, name)) for name in desk.consumers]
        (unrouted,) = await queue_states(desk.broker, [desk.names.unrouted])
        rows.append(
            {
                "consumer": "(unrouted)",
                "queue": unrouted.name,
                "ready": unrouted.messages,
                "consumers": unrouted.consumers,
                "waiting": 0,
                "parked": unrouted.messages or 0,
            }
        )
        return rows, await outbox_lags(desk)


async def _states(desk: EventsDesk, consumer: str) -> tuple[QueueState, ...]:
    names = desk.names
    waits = [names.wait(consumer, seconds) for seconds in LADDER_SECONDS]
    return await queue_states(desk.broker, [names.queue(consumer), names.dead(consumer), *waits])


def _consumer_row(
    desk: EventsDesk, consumer: str, states: tuple[QueueState, ...]
) -> dict[str, Any]:
    main, dead, *waits = states
    return {
        "consumer": consumer,
        "queue": desk.names.queue(consumer),
        "ready": main.messages,
        "consumers": main.consumers,
        "waiting": sum(state.messages or 0 for state in waits),
        "parked": dead.messages or 0,
    }


async def outbox_lags(desk: EventsDesk) -> dict[str, OutboxLag]:
    """How far the relays are behind, by database."""
    found: dict[str, OutboxLag] = {}
    for name, pool in desk.databases.items():
        async with begin(pool, "shared", "read_committed") as connection:
            if await outbox.exists(connection):
                found[name] = await outbox.lag(connection)
    return found


async def _topology(
    consumer: list[str] | None, *, apply: bool
) -> tuple[list[tuple[str, str, str]], tuple[str, ...]]:
    async with open_desk(get_context()) as desk:
        picked = desk.pick(consumer)
        wanted = [
            (name, desk.names.queue(name), ", ".join(desk.consumers[name])) for name in picked
        ]
        whole = desk.topology(picked)
        if apply:
            await desk.broker.declare(whole)
        return wanted, await differences(desk.broker, whole)


async def _doctor() -> list[Finding]:
    async with open_desk(get_context(), databases=True) as desk:
        return await findings(desk)


def _number(value: int | None) -> str:
    return "missing" if value is None else str(value)


def _lag(lag: OutboxLag) -> dict[str, Any]:
    return {
        "unsent": lag.unsent,
        "failing": lag.failing,
        "oldest_seconds": round(lag.oldest_seconds, 3),
        "last_error": lag.last_error,
    }
