"""`migrate events status|tail|publish|topology|doctor|schemas`: events, queues and outboxes."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any
from uuid import UUID

import typer

from migrate.commands import events_parked, events_schemas
from migrate.context import get_context, run
from migrate.doctor.finding import Finding
from migrate.events_desk import EventsDesk, open_desk
from migrate.events_findings import findings
from migrate.report import confirm, console, print_json, print_table
from shared.errors import OperatorError
from shared.events import outbox
from shared.events.catalogue import shipped_catalogue
from shared.events.envelope import Event, new_event, read_event
from shared.events.errors import UnreadableEventError
from shared.events.outbox import OutboxLag
from shared.events.rabbitmq.inspection import QueueState, differences, queue_states
from shared.events.rabbitmq.link import call, open_channel
from shared.events.rabbitmq.subscription import to_delivery
from shared.events.topology import LADDER_SECONDS
from shared.placement.session import begin

app = typer.Typer(help="Events: outboxes, queues, parked messages.", no_args_is_help=True)
app.add_typer(events_schemas.app, name="schemas")
app.command("parked")(events_parked.parked)
app.command("replay")(events_parked.replay_parked)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


class InvalidDataError(OperatorError):
    """--data is not a JSON object."""

    exit_code = 7


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


@app.command("tail")
def tail(
    pattern: Annotated[str, typer.Argument(help="Topic pattern, such as `subscription.*`.")] = "#",
    count: Annotated[int | None, typer.Option("--count", min=1, help="Stop after so many.")] = None,
    seconds: Annotated[
        float | None, typer.Option("--seconds", min=0.1, help="Stop after so long.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print events as they are published, without taking them from anybody."""
    run(_tail(pattern, count, seconds, as_json=as_json))


@app.command("publish")
def publish(
    type_: Annotated[str, typer.Argument(metavar="TYPE", help="A type of the catalogue.")],
    data: Annotated[str, typer.Option("--data", help="JSON object.")] = "{}",
    user: Annotated[UUID | None, typer.Option("--user", help="The user it is about.")] = None,
    source: Annotated[
        str | None, typer.Option("--source", help="The domain; default: the type's publisher.")
    ] = None,
    wait: Annotated[
        float, typer.Option("--wait", min=0, help="Seconds to wait until it is sent.")
    ] = 5.0,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Publish one event through the outbox of the shared database, as services do."""
    try:
        parsed = json.loads(data)
    except ValueError as error:
        raise InvalidDataError(f"--data is not JSON: {error}") from error
    if not isinstance(parsed, dict):
        raise InvalidDataError("--data is not a JSON object")
    publisher = source or _publisher_of(type_)
    event = new_event(type_, source=publisher, subject=user, data=parsed)
    shipped_catalogue().check(event)
    if not as_json:
        confirm(f"Publish {type_} as {publisher}?", yes=yes)
    sent = run(_publish(event, wait))
    if as_json:
        print_json({"id": str(event.id), "type": type_, "sent": sent})
    else:
        console.print(f"{event.id} {'sent' if sent else 'waits in the outbox for a relay'}")


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


async def _tail(pattern: str, count: int | None, seconds: float | None, *, as_json: bool) -> None:
    arrived: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()

    def on_message(channel: Any, method: Any, properties: Any, body: bytes) -> None:
        delivery = to_delivery(channel, method, properties, body)
        arrived.put_nowait((delivery.routing_key, body))

    async with open_desk(get_context()) as desk, desk.broker.connection("tail") as connection:
        limit = desk.broker.settings.rpc_seconds
        channel = await open_channel(connection, limit)
        answer = await call(channel, "queue_declare", limit, "", exclusive=True, auto_delete=True)
        queue = answer.method.queue
        await call(channel, "queue_bind", limit, queue, desk.names.exchange, pattern)
        await call(channel, "basic_consume", limit, queue, on_message, auto_ack=True)
        seen = 0
        try:
            async with asyncio.timeout(seconds):
                while count is None or seen < count:
                    key, body = await arrived.get()
                    _print_event(key, body, as_json=as_json)
                    seen += 1
        except TimeoutError:
            return


def _print_event(key: str, body: bytes, *, as_json: bool) -> None:
    try:
        event = read_event(body)
    except UnreadableEventError as error:
        console.print(f"{key}: {error.reason}", markup=False)
        return
    if as_json:
        print_json(event.model_dump(mode="json"))
    else:
        text = json.dumps(event.data, ensure_ascii=False)
        console.print(
            f"{event.time:%H:%M:%S} {event.type} {event.subject or '-'} {text}",
            markup=False,
            soft_wrap=True,
        )


def _publisher_of(type_: str) -> str:
    services = get_context().manifest.services
    found = next((name for name, entry in services.items() if type_ in entry.publishes), None)
    if found is None:
        raise InvalidDataError(f"no service of the manifest publishes {type_}; name --source")
    return found


async def _publish(event: Event, wait: float) -> bool:
    async with open_desk(get_context(), databases=True) as desk:
        pool = desk.databases["shared"]
        async with begin(pool, "shared", "read_committed") as connection:
            await outbox.add(connection, event)
        until = asyncio.get_running_loop().time() + wait
        while True:
            sent = await pool.fetchval(
                "SELECT sent_at IS NOT NULL FROM outbox WHERE event_id = $1", event.id
            )
            if sent or asyncio.get_running_loop().time() >= until:
                return bool(sent)
            await asyncio.sleep(0.05)


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
