"""`migrate webhooks list|show|retry|owner`: the shared inbox of deliveries."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal, TypeVar, cast

import typer

from migrate.context import get_context, run
from migrate.report import confirm, console, print_json, print_table
from shared.errors import OperatorError
from shared.placement.connection import Connection
from shared.placement.pools import PoolSettings, open_pool
from shared.placement.session import begin
from shared.webhooks import inbox
from shared.webhooks.inbox import InboxRow
from shared.webhooks.owners import Owner, list_owners, set_owner
from shared.webhooks.providers import PROVIDERS

T = TypeVar("T")

app = typer.Typer(help="Webhooks: stored deliveries and who applies them.", no_args_is_help=True)

Provider = Annotated[str, typer.Argument(help=" | ".join(PROVIDERS))]
EventId = Annotated[str, typer.Argument(help="The sender's id of the delivery.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


class NoSuchDeliveryError(OperatorError):
    """The inbox has no such delivery, or it is done."""

    exit_code = 7


@app.command("list")
def list_deliveries(
    provider: Annotated[str | None, typer.Option("--provider", help=" | ".join(PROVIDERS))] = None,
    status: Annotated[
        str | None,
        typer.Option("--status", help="received, processed, ignored, deferred, failed."),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000)] = 30,
    as_json: AsJson = False,
) -> None:
    """The newest deliveries."""
    _check_provider(provider)
    rows = run(
        _with_connection(
            lambda connection: inbox.listing(
                connection, provider=provider, status=status, limit=limit
            )
        )
    )
    if as_json:
        print_json({"deliveries": [_summary(row) for row in rows]})
        return
    print_table(
        "Deliveries",
        ("provider", "id", "type", "status", "tries", "received", "by", "error"),
        (
            (
                row.provider,
                row.event_id,
                row.event_type,
                row.status,
                row.attempts,
                f"{row.received_at:%Y-%m-%d %H:%M:%S}",
                row.received_by,
                row.error,
            )
            for row in rows
        ),
    )


@app.command("show")
def show(provider: Provider, event_id: EventId) -> None:
    """One delivery with its body, as JSON."""
    row = run(_with_connection(lambda connection: inbox.find(connection, provider, event_id)))
    if row is None:
        raise NoSuchDeliveryError(f"there is no delivery {event_id} of {provider}")
    print_json({**_summary(row), "body": _body(row.raw)})


@app.command("retry")
def retry(
    provider: Provider,
    event_id: EventId,
    yes: Yes = False,
) -> None:
    """Make a delivery that is not done due at once, also after its three days."""
    confirm(f"Retry {event_id} of {provider}?", yes=yes)
    if not run(_with_connection(lambda connection: inbox.retry(connection, provider, event_id))):
        raise NoSuchDeliveryError(f"there is no open delivery {event_id} of {provider}")
    console.print(f"{event_id} is due; its owner applies it within seconds")


@app.command("owner")
def owner(
    provider: Annotated[str | None, typer.Argument(help=" | ".join(PROVIDERS))] = None,
    side: Annotated[
        str | None, typer.Argument(help="monolith, service, or none (whoever receives it).")
    ] = None,
    type_: Annotated[str, typer.Option("--type", help="One event type; * is all others.")] = "*",
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Who applies a provider's deliveries: shown, or set from now on, for stored ones too."""
    _check_provider(provider)
    if provider is None or side is None:
        _show_owners(run(_with_connection(list_owners)), provider, as_json=as_json)
        return
    if side not in ("monolith", "service", "none"):
        raise NoSuchDeliveryError(f"{side} is none of: monolith, service, none")
    confirm(f"Let the {side} apply {type_} of {provider}?", yes=yes)
    chosen = None if side == "none" else cast("Literal['monolith', 'service']", side)
    run(_with_connection(lambda connection: set_owner(connection, provider, type_, chosen)))
    _show_owners(run(_with_connection(list_owners)), provider, as_json=as_json)


def _show_owners(found: list[Owner], provider: str | None, *, as_json: bool) -> None:
    rows = [row for row in found if provider in (None, row.provider)]
    if as_json:
        print_json(
            {
                "owners": [
                    {"provider": row.provider, "type": row.event_type, "owner": row.owner}
                    for row in rows
                ]
            }
        )
        return
    print_table(
        "Owners (without one: the side that receives a delivery applies it)",
        ("provider", "type", "owner", "since"),
        (
            (row.provider, row.event_type, row.owner, f"{row.since:%Y-%m-%d %H:%M:%S}")
            for row in rows
        ),
    )


async def _with_connection(work: Callable[[Connection], Awaitable[T]]) -> T:
    pool = await open_pool(get_context().shared_dsn, "migrate/webhooks", PoolSettings(max_size=1))
    try:
        async with begin(pool, "shared", "read_committed") as connection:
            return await work(connection)
    finally:
        pool.terminate()


def _check_provider(provider: str | None) -> None:
    if provider is not None and provider not in PROVIDERS:
        raise NoSuchDeliveryError(f"{provider} is none of: {', '.join(PROVIDERS)}")


def _summary(row: InboxRow) -> dict[str, Any]:
    return {
        "provider": row.provider,
        "id": row.event_id,
        "type": row.event_type,
        "status": row.status,
        "attempts": row.attempts,
        "error": row.error,
        "user_id": str(row.user_id) if row.user_id else None,
        "received_by": row.received_by,
        "received_at": row.received_at,
        "processed_at": row.processed_at,
    }


def _body(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return raw.decode("utf-8", "replace")
