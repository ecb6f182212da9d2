"""The command as a person runs it: a process, its output and its exit code."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from shared.control.instances import InstanceInfo
from shared.control.watch import ControlWatcher

ROOT = Path(__file__).parents[3]


class Outcome(NamedTuple):
    """What the shell sees."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


Migrate = Callable[..., Awaitable[Outcome]]


@pytest.fixture
async def migrate(database: str, tmp_path: Path) -> Migrate:
    """Runs `migrate …` against a fresh database, from an empty directory of the stack."""

    async def run(*words: str, **environment: str) -> Outcome:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "migrate.cli",
            "--stack",
            str(tmp_path / ".stack"),
            *words,
            cwd=ROOT,
            env={
                **os.environ,
                "SHARED_DATABASE_URL": database,
                "STRANGLER_ACTOR": "ada",
                **environment,
            },
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(60):
            out, err = await process.communicate()
        assert process.returncode is not None
        return Outcome(process.returncode, out.decode(), err.decode())

    assert (await run("db", "migrate")).code == 0
    return run


async def test_db_migrate_is_idempotent_and_its_dry_run_lists_nothing_more(
    migrate: Migrate,
) -> None:
    assert (await migrate("db", "migrate", "--dry-run", "--json")).json() == {
        "applied": [],
        "registered": [],
    }
    again = await migrate("db", "migrate")
    assert (again.code, again.out.strip()) == (0, "the control store is up to date")


async def test_flag_set_changes_every_route_of_a_service_and_names_who_applied_it(
    migrate: Migrate, database: str
) -> None:
    watcher = ControlWatcher(
        database, instance=InstanceInfo("router/0", "router", "router", "h", os.getpid())
    )
    await watcher.start()
    outcome = await migrate(
        "flag", "set", "content", "--percent", "25", "--reason", "first ramp", "--json"
    )
    await watcher.stop()
    assert outcome.code == 0
    data = outcome.json()
    assert len(data["changed"]) == 11
    assert [row["instance"] for row in data["applied"]] == ["router/0"]
    flags = (await migrate("flag", "list", "content", "--json")).json()["flags"]
    assert {flag["percent"] for flag in flags} == {25.0}


async def test_a_change_is_in_the_history_with_who_and_why(migrate: Migrate) -> None:
    await migrate(
        "flag", "set", "content.search", "--percent", "5", "--reason", "try one route", "--yes"
    )
    entries = (await migrate("history", "content.search", "--json")).json()
    assert (entries[0]["actor"], entries[0]["reason"]) == ("ada", "try one route")
    shown = await migrate("history", "content.search")
    assert "percent 0 → 5" in shown.out


async def test_a_dry_run_changes_nothing(migrate: Migrate) -> None:
    before = (await migrate("status", "--json")).json()["version"]
    outcome = await migrate(
        "flag", "set", "chat", "--percent", "5", "--reason", "r", "--dry-run", "--json"
    )
    assert len(outcome.json()["changes"]) == 15
    assert (await migrate("status", "--json")).json()["version"] == before


BAD_INPUT: tuple[tuple[tuple[str, ...], int, str], ...] = (
    (("flag", "set", "contnt", "--percent", "5", "--reason", "r"), 7, "did you mean content"),
    (("flag", "set", "content", "--percent", "5"), 7, "--reason"),
    (("flag", "set", "content", "--reason", "r"), 7, "nothing to change"),
    (
        ("flag", "set", "content", "--percent", "101", "--reason", "r"),
        2,
        "less than or equal to 100",
    ),
    (("flag", "set", "content", "--percent", "0.001", "--reason", "r"), 7, "finer than 0.01"),
    (("flag", "set", "content", "--mode", "asleep", "--reason", "r"), 7, "normal, read_only"),
    (("flag", "set", "content", "--hold", "--release", "--reason", "r"), 7, "exclude"),
    (("flag", "set", "chat", "--percent", "5", "--reason", "r", "--if-version", "1"), 6, "history"),
    (("explain", "GET", "/api/search", "--header", "no colon"), 7, "Name: value"),
    (("instances", "forget", "router/9", "--yes"), 7, "router/9"),
    (("frobnicate",), 2, "No such command"),
)


async def test_bad_input_gets_a_clear_error_and_changes_nothing(migrate: Migrate) -> None:
    before = (await migrate("status", "--json")).json()
    for words, code, says in BAD_INPUT:
        outcome = await migrate(*words)
        assert outcome.code == code, (words, outcome)
        assert says in outcome.err, (words, outcome)
        assert "Traceback" not in outcome.err
    assert (await migrate("status", "--json")).json() == before


async def test_a_malformed_manifest_is_refused_with_the_line(
    migrate: Migrate, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_text(
        (ROOT / "migration.toml").read_text().replace("workers = 2", "wrokers = 2", 1)
    )
    outcome = await migrate("db", "migrate", MANIFEST=str(broken))
    assert outcome.code == 7
    assert "wrokers" in outcome.err
    assert "line " in outcome.err


async def test_an_unreachable_store_is_exit_code_four_without_the_password(
    migrate: Migrate,
) -> None:
    outcome = await migrate(
        "status", SHARED_DATABASE_URL="postgresql://u:secret-word@127.0.0.1:1/x"
    )
    assert outcome.code == 4
    assert "secret-word" not in outcome.err + outcome.out


async def test_without_any_database_the_command_says_how_to_get_one(migrate: Migrate) -> None:
    outcome = await migrate("status", SHARED_DATABASE_URL="")
    assert outcome.code == 1
    assert "migrate up" in outcome.err


async def test_a_flag_that_a_live_instance_cannot_apply_is_exit_code_five(
    migrate: Migrate, database: str
) -> None:
    def refuse(_state: object) -> None:
        raise ValueError("cannot")

    watcher = ControlWatcher(
        database, instance=InstanceInfo("router/0", "router", "router", "h", os.getpid())
    )
    await watcher.start()
    watcher._on_change = refuse
    outcome = await migrate(
        "flag", "set", "content", "--percent", "5", "--reason", "r", "--timeout", "0.5"
    )
    await watcher.stop()
    assert outcome.code == 5
    assert "router/0" in outcome.err


async def test_explain_shows_every_step_and_agrees_with_the_flag(migrate: Migrate) -> None:
    await migrate("flag", "set", "content.search", "--percent", "100", "--reason", "r")
    data = (await migrate("explain", "GET", "/api/search?q=dune", "--user", "u1", "--json")).json()
    assert (data["route"], data["side"]) == ("content.search", "service")
    assert [step["name"] for step in data["steps"]][:3] == ["path", "route", "control"]
    other = (await migrate("explain", "POST", "/api/payments/webhook", "--json")).json()
    assert (other["route"], other["side"]) == ("payments.webhook_stripe", "monolith")


async def test_explain_without_a_store_says_what_a_router_without_state_does(
    migrate: Migrate,
) -> None:
    outcome = await migrate(
        "explain",
        "GET",
        "/api/search",
        "--json",
        SHARED_DATABASE_URL="postgresql://u@127.0.0.1:1/x",
    )
    assert outcome.json()["side"] is None
    assert "503" in outcome.json()["reason"]


async def test_shell_completion_is_offered(migrate: Migrate) -> None:
    outcome = await migrate(
        "--show-completion",
        "bash",
        SHELL="/bin/bash",
        _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1",
    )
    assert outcome.code == 0
    assert "COMP_WORDS" in outcome.out
