"""How a worker starts and what its jobs do when they fail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from shared.events.periodic import Periodic, run_periodically
from shared.events.worker import WorkerContext, WorkerPlan, run_worker
from shared.manifest import load_manifest
from shared.placement.errors import OwnershipError
from shared.placement.ownership import violations
from shared.placement.service import service_grants

MANIFEST = load_manifest()
REQUIRED = ("SHARED_DATABASE_URL", "REDIS_URL", "RABBITMQ_URL", "JWT_SECRETS")


@asynccontextmanager
async def build(_context: WorkerContext) -> AsyncIterator[WorkerPlan]:
    yield WorkerPlan()


def test_a_worker_without_settings_names_all_of_them_and_ends_with_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in REQUIRED:
        monkeypatch.delenv(name, raising=False)
    assert run_worker("media", build) == 2
    told = capsys.readouterr().err
    assert all(name in told for name in REQUIRED)


def test_a_worker_without_a_manifest_says_where_it_looked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("SHARED_DATABASE_URL", "postgresql://u:secret-word@127.0.0.1:1/x")
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("RABBITMQ_URL", "amqp://u:secret-word@127.0.0.1:1/x")
    monkeypatch.setenv("JWT_SECRETS", "x" * 32)
    monkeypatch.setenv("MANIFEST", str(tmp_path / "none.toml"))
    assert run_worker("media", build) == 2
    told = capsys.readouterr().err
    assert "none.toml" in told
    assert "secret-word" not in told


async def test_a_job_that_fails_is_run_again_at_its_next_time() -> None:
    runs = 0
    enough = asyncio.Event()

    async def fragile() -> None:
        nonlocal runs
        runs += 1
        if runs == 4:
            enough.set()
        raise [LookupError, ConnectionError, TimeoutError, LookupError][runs % 4]

    task = asyncio.create_task(run_periodically(Periodic("fragile", 0.01, fragile)))
    async with asyncio.timeout(10):
        await enough.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_grants_follow_the_manifest() -> None:
    chat = service_grants(MANIFEST, "chat")
    assert chat.home is not None
    assert chat.shared is not None
    assert violations("INSERT INTO messages DEFAULT VALUES", chat.home) == ()
    assert violations("INSERT INTO outbox DEFAULT VALUES", chat.home) == ()
    assert violations("SELECT * FROM messages JOIN users ON true", chat.home) == ("reads users",)
    assert violations("SELECT * FROM users", chat.shared) == ()
    assert violations("UPDATE users SET email = NULL", chat.shared) == ("writes users",)
    payments = service_grants(MANIFEST, "payments")
    assert payments.home is None
    assert payments.shared is not None
    both = "SELECT 1 FROM subscriptions s JOIN users u ON true JOIN webhook_inbox w ON true FOR UPDATE OF s, w"
    assert violations(both, payments.shared) == ()
    with pytest.raises(OwnershipError):
        service_grants(MANIFEST, "nobody")
