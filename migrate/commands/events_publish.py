"""`migrate events tail|publish|republish`: events as they pass, and events sent by hand."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any
from uuid import UUID

import typer

from migrate.commands.events_parked import InvalidTimeError
from migrate.context import get_context, run
from migrate.events_desk import open_desk
from migrate.report import confirm, console, print_json
from shared.errors import OperatorError
from shared.events import outbox
from shared.events.catalogue import shipped_catalogue
from shared.events.envelope import Event, new_event, read_event
from shared.events.errors import UnreadableEventError
from shared.events.rabbitmq.link import call, open_channel
from shared.events.rabbitmq.subscription import to_delivery
from shared.placement.session import begin

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


class InvalidDataError(OperatorError):
    """--data is not a JSON object."""

    exit_code = 7


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


def republish(
    since: Annotated[str, typer.Option("--since", help="What was sent in the last 30s, 15m, 6h.")],
    type_: Annotated[str | None, typer.Option("--type", help="Only this event type.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send sent events once more from the outboxes, after a queue was lost with its messages.

    Consumers drop what they have handled. The outbox remembers a day.
    """
    seconds = _seconds(since)
    if not as_json:
        confirm(f"Send the events of the last {since} again?", yes=yes)
    counts = run(_republish(seconds, type_))
    if as_json:
        print_json({"again": counts})
        return
    for name, count in counts.items():
        console.print(f"{name}: {count} event(s) wait for the relay again")


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


async def _republish(seconds: float, type_: str | None) -> dict[str, int]:
    counts: dict[str, int] = {}
    async with open_desk(get_context(), databases=True) as desk:
        for name, pool in desk.databases.items():
            async with begin(pool, "shared", "read_committed") as connection:
                counts[name] = await outbox.send_again(
                    connection, since_seconds=seconds, type_=type_
                )
    return counts


def _seconds(text: str) -> float:
    units = {"s": 1.0, "m": 60.0, "h": 3600.0}
    if not text[:-1].isdecimal() or text[-1:] not in units:
        raise InvalidTimeError(text)
    return int(text[:-1]) * units[text[-1]]
