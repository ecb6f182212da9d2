"""One-off containers of the operator app: the toolkit's own command on the host's real databases.

Splits and cutovers have tests of their own; here they only move the placement, as they do at their end.
"""

from __future__ import annotations

import asyncio

from typer.testing import CliRunner

from migrate.cli import app as command_line
from shared.control.store import ControlStore
from shared.states import DataState
from tests.dokku_host.host import FakeHost, handles
from tests.dokku_host.words import Call, RefusedError

_MOVES = {
    ("db", "split"): (DataState.COPYING, DataState.FOLLOWING),
    ("cutover",): (DataState.OWN,),
    ("rollback",): (DataState.FOLLOWING,),
    ("db", "finalize"): (DataState.FINAL,),
}


@handles("run")
def run(host: FakeHost, call: Call) -> str:
    """`run operator python -m migrate.cli …` with the environment of the app."""
    app = host.app(call.args[0])
    if app.containers is None:
        raise RefusedError(f"App {app.name} has not been deployed")
    assert call.args[1:4] == ["python", "-m", "migrate.cli"], call.args
    words = call.args[4:]
    store = host.state.stores["postgres", "scenextras-db"]
    assert app.config["SHARED_DATABASE_URL"].endswith("/scenextras_db")
    dsn = host.databases.dsn(store.database)
    for prefix, states in _MOVES.items():
        if tuple(words[: len(prefix)]) == prefix:
            asyncio.run(_move(dsn, words[len(prefix)], states))
            return f"{' '.join(words)}: done\n"
    if words[:2] == ["phase", "proof"]:
        return "nothing reaches the monolith\n"
    return _command(dsn, words)


def _command(dsn: str, words: list[str]) -> str:
    """In this process: starting an interpreter for each would take most of the time of a test."""
    done = CliRunner().invoke(
        command_line,
        ["--stack", "/nonexistent", *words],
        env={"SHARED_DATABASE_URL": dsn, "STRANGLER_ACTOR": "operator"},
    )
    if done.exit_code:
        raise RefusedError(str(done.exception or done.output), done.exit_code)
    return done.output


async def _move(dsn: str, service: str, states: tuple[DataState, ...]) -> None:
    store = await ControlStore.connect(dsn)
    try:
        for state in states:
            await store.set_placement(service, state, actor="operator", reason="test")
    finally:
        await store.close()
