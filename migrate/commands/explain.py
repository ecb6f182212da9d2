"""`migrate explain METHOD PATH`: the full decision trace of one request, by the router's own code."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from migrate.context import get_context, run
from migrate.report import console, print_json, print_table
from shared.control.errors import NotInitializedError, StoreUnreachableError
from shared.control.model import ControlState
from shared.errors import OperatorError
from shared.routing.explain import Question, explain
from shared.routing.from_manifest import route_table


class InvalidHeaderError(OperatorError):
    """A --header is not `Name: value`."""

    exit_code = 7


def parse_headers(lines: list[str]) -> dict[str, str]:
    """Headers from `Name: value` lines; raises InvalidHeaderError."""
    headers: dict[str, str] = {}
    for line in lines:
        name, separator, value = line.partition(":")
        if not separator or not name.strip() or name != name.strip():
            raise InvalidHeaderError(f"--header {name.strip()!r}: write it as 'Name: value'")
        headers[name] = value.strip()
    return headers


def explain_request(
    method: Annotated[str, typer.Argument(help="GET, POST, …")],
    path: Annotated[str, typer.Argument(help="Path with query, as a client sends it.")],
    user: Annotated[str | None, typer.Option("--user", help="Sticky key of a user.")] = None,
    header: Annotated[
        list[str] | None, typer.Option("--header", "-H", help="'Name: value', repeatable.")
    ] = None,
    body: Annotated[str | None, typer.Option("--body", help="Body, for body:<path> keys.")] = None,
    host: Annotated[
        str | None, typer.Option("--host", help="Host; the public one by default.")
    ] = None,
    address: Annotated[str, typer.Option("--address", help="Address of the client.")] = "127.0.0.1",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Which side would answer a request, and every step on the way to that."""
    context = get_context()
    manifest = context.manifest

    async def read() -> ControlState | None:
        try:
            async with context.store() as store:
                return await store.state()
        except (StoreUnreachableError, NotInitializedError):
            return None

    secrets = tuple(filter(None, (context.setting("JWT_SECRETS") or "").split(",")))
    explanation = explain(
        Question(
            method=method,
            target=path,
            host=host or manifest.project.public_host,
            address=address,
            headers=parse_headers(header or []),
            body=None if body is None else body.encode(),
            user=user,
        ),
        route_table(manifest),
        run(read()),
        configured=frozenset(manifest.services),
        secrets=secrets,
        now=time.time(),
    )
    if as_json:
        print_json(explanation.to_json())
        return
    print_table("", ("step", "outcome"), ((step.name, step.outcome) for step in explanation.steps))
    console.print(f"→ {explanation.side or 'refused'} ({explanation.reason})")
