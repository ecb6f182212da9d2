"""What must happen by the clock is a job of some worker, or a command that a clock can run."""

from __future__ import annotations

import asyncio
import os
import sys

import asyncpg
import pytest

from tests.contracts.api.effects import Workers
from tests.support.people import People

SIDES = ("services",)

WEBHOOKS = {"webhook-sweep", "webhook-alarm"}
JOBS = {
    "auth": WEBHOOKS,
    "payments": WEBHOOKS | {"quota-sweep"},
    "chat": {"conversation-pauses"},
}


@pytest.mark.asyncio(loop_scope="session")
async def test_every_schedule_is_a_job_of_its_worker_and_bears_to_run_twice(
    workers: Workers, people: People, database: asyncpg.Connection
) -> None:
    await (await people.new()).talk()
    for service in workers.services:
        names = {job.name for job in service.plan.periodic}
        assert JOBS.get(service.name, set()) <= names, service.name
        for job in service.plan.periodic:
            await asyncio.gather(job.run(), job.run())
    assert await database.fetchval("SELECT count(*) FROM quota_reservations") == 1


@pytest.mark.parametrize("module", ["services.payments.reconcile", "services.content.sync"])
async def test_long_jobs_are_commands_too(module: str) -> None:
    """Started without settings they say what they need."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        env={"PATH": os.environ["PATH"]},
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 2
    assert "SHARED_DATABASE_URL" in said.decode()
