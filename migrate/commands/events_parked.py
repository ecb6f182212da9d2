"""`migrate events parked|replay`: messages that wait for a person."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from migrate.context import get_context, run
from migrate.events_desk import EventsDesk, open_desk
from migrate.report import confirm, console, print_json, print_table
from shared.errors import OperatorError
from shared.events.parked import ParkedMessage, Replay, Selection, peek, replay

#: The name that stands for the queue of events that nobody was bound for.
UNROUTED = "unrouted"

Consumer = Annotated[str, typer.Argument(help="A service, `monolith`, or `unrouted`.")]
Type = Annotated[str | None, typer.Option("--type", help="Only this event type.")]
ErrorType = Annotated[str | None, typer.Option("--error", help="Only this error, by class name.")]
Reason = Annotated[
    str | None, typer.Option("--reason", help="failed, unreadable, version, delivery_limit.")
]
MessageId = Annotated[str | None, typer.Option("--id", help="Only this message.")]
Since = Annotated[
    str | None,
    typer.Option(
        "--since", help="Only events of the last 30s, 15m, 6h, 2d, or after an RFC 3339 time."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


class InvalidTimeError(OperatorError):
    """--since is no time."""

    exit_code = 7

    def __init__(self, text: str) -> None:
        super().__init__(f"--since {text} is neither 30s, 15m, 6h, 2d nor an RFC 3339 time")


def parked(
    consumer: Consumer,
    type_: Type = None,
    error: ErrorType = None,
    reason: Reason = None,
    message_id: MessageId = None,
    since: Since = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Show at most so many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Show parked messages with the reason; they stay parked."""
    selection = Selection(type_, error, reason, message_id, _since(since))
    found = run(_peek(consumer, selection, limit))
    if as_json:
        print_json({"parked": [_as_json(message) for message in found]})
        return
    print_table(
        f"Parked for {consumer}",
        ("id", "type", "reason", "error", "attempts", "parked at"),
        (
            (
                message.message_id,
                message.type,
                message.reason,
                f"{message.error_type}: {message.error}" if message.error_type else "",
                message.attempts,
                message.parked_at,
            )
            for message in found
        ),
    )


def replay_parked(
    consumer: Consumer,
    type_: Type = None,
    error: ErrorType = None,
    reason: Reason = None,
    message_id: MessageId = None,
    since: Since = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many.")] = 1_000_000,
    rate: Annotated[
        float | None, typer.Option("--rate", min=0.01, help="Messages a second.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count only.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Also events older than the inbox remembers.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send parked messages to their consumer again; unrouted ones to whoever is bound now."""
    selection = Selection(type_, error, reason, message_id, _since(since))
    if not (dry_run or as_json):
        confirm(f"Replay messages of {consumer}?", yes=yes)
    done = run(_replay(consumer, selection, limit, rate, dry_run=dry_run, force=force))
    if as_json:
        print_json(
            {"seen": done.seen, "sent": done.sent, "too_old": done.too_old, "dry_run": dry_run}
        )
        return
    console.print(
        f"{'would send' if dry_run else 'sent'} {done.sent} of {done.seen} message(s)"
        + (f"; {done.too_old} are too old (--force sends them too)" if done.too_old else "")
    )


async def _peek(consumer: str, selection: Selection, limit: int) -> list[ParkedMessage]:
    async with open_desk(get_context()) as desk:
        return await peek(desk.broker, _source(desk, consumer), selection, limit)


async def _replay(
    consumer: str,
    selection: Selection,
    limit: int,
    rate: float | None,
    *,
    dry_run: bool,
    force: bool,
) -> Replay:
    async with open_desk(get_context()) as desk:
        if consumer == UNROUTED:
            target: tuple[str, str | None] = (desk.names.exchange, None)
        else:
            target = ("", desk.names.queue(consumer))
        return await replay(
            desk.broker,
            _source(desk, consumer),
            selection,
            target=target,
            limit=limit,
            rate=rate,
            dry_run=dry_run,
            force=force,
        )


def _source(desk: EventsDesk, consumer: str) -> str:
    if consumer == UNROUTED:
        return desk.names.unrouted
    desk.pick([consumer])
    return desk.names.dead(consumer)


def _since(text: str | None) -> datetime | None:
    if text is None:
        return None
    units = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
    if text[:-1].isdecimal() and text[-1:] in units:
        return datetime.now(UTC) - timedelta(seconds=int(text[:-1]) * units[text[-1]])
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidTimeError(text) from error
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _as_json(message: ParkedMessage) -> dict[str, object]:
    return {
        "id": message.message_id,
        "queue": message.queue,
        "type": message.type,
        "reason": message.reason,
        "error_type": message.error_type,
        "error": message.error,
        "attempts": message.attempts,
        "parked_at": message.parked_at,
        "event": message.event.model_dump(mode="json") if message.event else None,
        "body": None if message.event else message.body.decode("utf-8", "replace")[:2000],
    }
