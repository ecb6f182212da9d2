"""The commands, with the shipped manifest: exit codes, JSON, dry runs, and a way there and back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from typer.testing import CliRunner

from migrate.cli import app
from migrate.exit_codes import ExitCode, exit_code
from migrate.split.finalize import finalize_plan
from migrate.split.names import Side
from tests.support.split_lab import REPOSITORY, ROWS, SCHEMA, Pair, pair_of
from tests.support.split_servers import SplitServers

pytestmark = pytest.mark.timeout(300)


@dataclass
class Answer:
    code: int
    output: str
    error: str

    @property
    def json(self) -> Any:
        return json.loads(self.output)


Migrate = Callable[..., Answer]


@pytest.fixture(scope="module")
def pair(split_servers: SplitServers) -> Iterator[Pair]:
    """Databases of the module, made and removed in a loop of their own."""
    opened: dict[str, Any] = {}

    @asynccontextmanager
    async def made() -> AsyncIterator[Pair]:
        urls = split_servers.urls
        schema = SCHEMA + ROWS.format(users=20, messages=10, archive=10)
        async with pair_of(urls[Side.SHARED], urls[Side.OWN], schema=schema) as found:
            yield found

    with ThreadPoolExecutor(1) as thread, asyncio.Runner() as runner:
        opened["manager"] = made()
        pair = thread.submit(runner.run, opened["manager"].__aenter__()).result()
        yield pair
        thread.submit(runner.run, opened["manager"].__aexit__(None, None, None)).result()


@pytest.fixture
def migrate(pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Migrate:
    """Runs the command in this process, with the databases of the module in its environment."""
    monkeypatch.chdir(REPOSITORY)
    for name, value in {
        "SHARED_DATABASE_URL": pair.shared,
        "DATABASE_URL_CHAT": pair.own,
        "STACK_DIRECTORY": str(tmp_path / "no-stack"),
        "BACKUP_DIRECTORY": str(tmp_path / "backups"),
        "STRANGLER_ACTOR": "tester",
    }.items():
        monkeypatch.setenv(name, value)

    def run(*words: str) -> Answer:
        result = CliRunner().invoke(app, list(words))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            return Answer(int(exit_code(result.exception)), result.stdout, str(result.exception))
        return Answer(result.exit_code, result.stdout, result.stderr)

    return run


def write(pair: Pair, side: Side, sql: str) -> None:
    async def work() -> None:
        connection = await asyncpg.connect(
            pair.endpoint(side).dsn, server_settings={"application_name": "old cron"}
        )
        try:
            await connection.execute(sql)
        finally:
            await connection.close()

    asyncio.run(work())


def test_a_service_goes_and_comes_back_by_commands(migrate: Migrate, pair: Pair) -> None:
    assert migrate("db", "migrate").code == ExitCode.OK
    inspection = migrate("db", "inspect", "chat", "--sample", "0", "--json")
    assert inspection.code == ExitCode.OK
    keys = inspection.json["services"]["chat"]["crossing_keys"]
    assert [(key["direction"], key["becomes"]) for key in keys] == [("outgoing", "event")]

    refused = migrate("db", "split", "chat", "--yes")
    assert refused.code == ExitCode.REFUSED
    assert "chat.talk" in refused.error
    assert (
        migrate("flag", "set", "chat", "--percent", "100", "--reason", "test", "--yes").code
        == ExitCode.OK
    )

    dry = migrate("db", "split", "chat", "--dry-run", "--json")
    assert dry.code == ExitCode.OK
    assert [step["done"] for step in dry.json["steps"] if step["name"] == "copy"] == [False]
    split = migrate("db", "split", "chat", "--json", "--max-mb-per-second", "50")
    assert split.code == ExitCode.OK, split.error
    assert split.json["copy"]["rows"] == 20 + 200 + 40 + 50
    assert migrate("db", "split", "chat", "--yes").code == ExitCode.OK

    plan = migrate("db", "verify", "chat", "--dry-run", "--json").json
    assert (plan["direction"], plan["positions"]["forward_slot"]["active"]) == ("forward", True)
    assert plan["estimated_rows"]["messages"] == 200
    assert migrate("db", "verify", "chat", "--json").json["is_equal"]
    rehearsal = migrate("db", "rehearse", "chat", "--now", "--dry-run", "--json").json
    assert (rehearsal["plan"], rehearsal["steps"][0]["name"]) == ("cutover", "ready")
    preview = migrate("cutover", "chat", "--dry-run", "--json", "--max-pause-ms", "60000")
    assert preview.code == ExitCode.OK
    assert preview.json["predicted_ms"] > 0
    cutover = migrate("cutover", "chat", "--json", "--max-pause-ms", "60000")
    assert cutover.code == ExitCode.OK, cutover.error
    assert (cutover.json["canary"]["lost"], cutover.json["direction"]) == (0, "forward")

    with pytest.raises(asyncpg.PostgresError, match="owned by another database"):
        write(pair, Side.SHARED, "DELETE FROM public.messages")
    status = migrate("db", "status", "chat", "--json").json["services"][0]
    hits = [
        (hit["application"], hit["table"], hit["operation"], hit["query"])
        for hit in status["fence_hits"]
    ]
    assert hits == [("old cron", "public.messages", "DELETE", "DELETE FROM public.messages")]
    assert status["next"] == "migrate db finalize chat"
    assert "old cron" in migrate("db", "status", "chat").output

    end = migrate("db", "finalize", "chat", "--dry-run", "--json").json
    assert [step["name"] for step in end["steps"]][-1] == finalize_plan(0.0, Path()).names[-1]
    drop = migrate("db", "finalize", "chat", "--drop", "--dry-run", "--json").json
    assert drop == {"plan": "drop", "steps": [], "tables": []}
    refusal = migrate("db", "finalize", "chat", "--yes")
    assert "--confirm chat" in refusal.error
    assert migrate("db", "abort", "chat", "--yes").code == ExitCode.REFUSED
    assert migrate("rollback", "chat", "--yes", "--max-pause-ms", "60000").code == ExitCode.OK
    assert migrate("db", "abort", "chat", "--json").json["leftovers"] == {"shared": [], "own": []}
    assert migrate("db", "status", "chat", "--json").json["services"][0]["placement"] == "shared"


def test_a_rehearsal_on_copies_leaves_the_real_tables_alone(migrate: Migrate, pair: Pair) -> None:
    migrate("db", "migrate")
    report = migrate("db", "rehearse", "chat", "--json")
    assert report.code == ExitCode.OK, report.error
    assert [entry["direction"] for entry in report.json["switches"]] == [
        "forward",
        "reverse",
        "forward",
    ]
    assert report.json["lost"] == 0
    status = migrate("db", "status", "chat", "--json").json["services"][0]
    assert (status["placement"], status["switches"]) == ("shared", 0)


def test_any_database_can_be_inspected_without_a_manifest(
    migrate: Migrate, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_DATABASE", pair.shared)
    answer = migrate(
        "db", "inspect", "--tables", "messages,users", "--url-from", "MY_DATABASE", "--sample", "0"
    )
    assert answer.code == ExitCode.OK
    assert "messages(conversation_id) -> conversations" in answer.output


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("db", "split", "nobody"), ExitCode.FAILED),
        (("db", "split", "payments"), ExitCode.FAILED),
        (("cutover", "chat", "--yes"), ExitCode.REFUSED),
        (("rollback", "chat", "--yes"), ExitCode.REFUSED),
        (("db", "verify", "chat"), ExitCode.REFUSED),
        (("db", "finalize", "chat", "--confirm", "chat"), ExitCode.REFUSED),
    ],
)
def test_a_command_that_means_nothing_now_says_so_and_changes_nothing(
    migrate: Migrate, words: tuple[str, ...], code: ExitCode
) -> None:
    migrate("db", "migrate")
    answer = migrate(*words)
    assert answer.code == code, answer.error
    assert answer.error


def test_a_database_that_is_away_is_named_without_its_password(
    migrate: Migrate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL_CHAT", "postgresql://me:geheim@127.0.0.1:1/nowhere")
    answer = migrate("db", "status", "chat")
    assert answer.code == ExitCode.UNREACHABLE
    assert "geheim" not in answer.error
