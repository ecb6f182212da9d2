"""Client, router, monolith and service, both databases: tables move under requests, and none fails."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

import asyncpg
import pytest

from migrate.split.names import Side
from migrate.stack.local import LocalStack
from tests.support.split_chatters import chatters
from tests.support.split_lab import REPOSITORY

STACK_SERVICES = ("chat",)
REQUESTS_PER_SECOND = 60.0
PEOPLE = 12

pytestmark = pytest.mark.timeout(300)


async def migrate(stack: LocalStack, *words: str) -> dict[str, Any]:
    """The command as an operator types it; its JSON."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "migrate.cli", "--stack", str(stack.layout.root), *words, "--json",
        cwd=REPOSITORY, env=os.environ, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(120):
        output, errors = await process.communicate()
    assert process.returncode == 0, f"{words}: {errors.decode()[-2000:]}"
    found: dict[str, Any] = json.loads(output)
    return found


async def test_routes_and_tables_go_there_and_back_and_there_while_people_chat(
    local_stack: LocalStack,
) -> None:
    """First in one go, from a monolith that writes and knows no way back; then the tables alone."""
    facts = local_stack.facts
    patient = ("--max-pause-ms", "60000", "--hold-seconds", "10")
    async with chatters(facts.public_url, rate=REQUESTS_PER_SECOND, people=PEOPLE) as people:
        split = await migrate(local_stack, "db", "split", "chat", "--direct", "--yes")
        assert split["verify"]
        switches = [await migrate(local_stack, "cutover", "chat", "--direct", *patient)]
        assert "hold" in switches[0]["applied"]
        switches.append(await migrate(local_stack, "rollback", "chat", "--direct", *patient))
        await migrate(local_stack, "flag", "set", "chat", "--percent", "100", "--reason", "test")
        switches.append(await migrate(local_stack, "cutover", "chat", *patient))
        assert "hold" not in switches[-1]["applied"]
        report = await people.stop()
    assert report["failures"] == []
    assert report["stale"] == []
    assert report["writes"] > 100
    assert [switch["canary"]["lost"] for switch in switches] == [0] * len(switches)
    assert (await migrate(local_stack, "db", "verify", "chat"))["is_equal"]
    urls = {Side.SHARED: facts.shared_url, Side.OWN: facts.own_urls["chat"]}
    for side, url in urls.items():
        connection = await asyncpg.connect(url)
        rows = await connection.fetch("SELECT id::text, content FROM messages WHERE role = 'user'")
        await connection.close()
        found = {row["id"]: row["content"] for row in rows}
        assert {key: found.get(key) for key in report["edits"]} == report["edits"], side
