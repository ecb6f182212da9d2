"""One-off containers of the operator app: the toolkit's own command on the host's real databases."""

from __future__ import annotations

from urllib.parse import urlsplit

from typer.testing import CliRunner

from migrate.cli import app as command_line
from tests.dokku_host.host import FakeHost, handles
from tests.dokku_host.state import App
from tests.dokku_host.words import Call, RefusedError


@handles("run")
def run(host: FakeHost, call: Call) -> str:
    """`run operator python -m migrate.cli …` with the environment of the app.

    In this process: starting an interpreter for each would take most of the time of a test.
    """
    app = host.app(call.args[0])
    if app.containers is None:
        raise RefusedError(f"App {app.name} has not been deployed")
    assert call.args[1:4] == ["python", "-m", "migrate.cli"], call.args
    words = call.args[4:]
    if words[:2] == ["phase", "proof"]:  # needs a router that runs
        return "nothing reaches the monolith\n"
    done = CliRunner().invoke(
        command_line, ["--stack", "/nonexistent", *words], env=environment(host, app)
    )
    if done.exit_code:
        raise RefusedError(f"{done.exception or ''} {done.output}".strip(), done.exit_code)
    return done.output


def environment(host: FakeHost, app: App) -> dict[str, str]:
    """The variables of the app, with addresses that this machine can reach."""
    stores = {f"dokku-postgres-{s.name}": s for s in host.state.stores.values()}
    found = {**app.config, "STRANGLER_ACTOR": "operator"}
    for key, value in app.config.items():
        store = stores.get(urlsplit(value).hostname or "")
        if store is not None:
            found[key] = host.databases.dsn(store.database)
    return found
