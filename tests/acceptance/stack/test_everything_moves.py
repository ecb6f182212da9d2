"""The product's promise on the whole system: every domain moves, routes and tables, and nobody notices."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from migrate.stack.local import LocalStack
from shared.manifest import load_manifest
from tests.support.journeys import Person

REPOSITORY = Path(__file__).parents[3]
MANIFEST = load_manifest(REPOSITORY / "migration.toml")
PEOPLE = 4
COMMAND_SECONDS = 300.0
EVENT_SECONDS = 60.0

pytestmark = pytest.mark.timeout(900)


async def migrate(stack: LocalStack, *words: str) -> str:
    """Run the command as an engineer would; its output, or the test fails with what it said."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "migrate.cli", "--stack", str(stack.layout.root), *words,
        cwd=REPOSITORY, env=dict(os.environ),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), COMMAND_SECONDS)
    assert process.returncode == 0, f"migrate {' '.join(words)}\n{out.decode()}\n{err.decode()}"
    return out.decode()


@asynccontextmanager
async def living(people: Sequence[Person]) -> AsyncIterator[None]:
    """These people use the API while the block runs, and have their last answers after it."""
    over = asyncio.Event()
    lives = [asyncio.create_task(person.live(over)) for person in people]
    try:
        yield
    finally:
        over.set()
        await asyncio.gather(*lives)


async def flags(stack: LocalStack, service: str, percent: int) -> None:
    words = ("flag", "set", service, "--percent", str(percent), "--reason", "whole way", "--yes")
    await migrate(stack, *words)


async def test_every_domain_moves_to_its_service_and_every_row_is_still_there(
    local_stack: LocalStack,
) -> None:
    people = [Person(local_stack.facts.public_url, number) for number in range(PEOPLE)]
    moving = [service.name for service in MANIFEST.moving_services()]
    for person in people:
        await person.sign_up()
    async with living(people):
        for percent in (50, 100):
            for service in MANIFEST.services:
                await flags(local_stack, service, percent)
        for service in moving:
            await migrate(local_stack, "db", "split", service, "--yes")
            await migrate(local_stack, "cutover", service, "--yes")
        for back_and_forth in ("rollback", "cutover"):
            await migrate(local_stack, back_and_forth, "chat", "--yes")
        for service in moving:
            verified = json.loads(await migrate(local_stack, "db", "verify", service, "--json"))
            assert verified["is_equal"] is True, verified
    for person in people:
        await person.verify()
    async with asyncio.timeout(EVENT_SECONDS):
        for person in people:
            while not await person.messages_counted():
                await asyncio.sleep(0.2)
    for person in people:
        await person.close()
    assert [fault for person in people for fault in person.faults] == []
    assert all(person.diary.messages and person.diary.images for person in people)
