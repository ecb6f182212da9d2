from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import httpx
import pytest

from tests.integration.chat.conftest import events_of, stored
from tests.support.people import SECRET, People

pytestmark = pytest.mark.asyncio(loop_scope="session")
ROOT = Path(__file__).resolve().parents[3]


@contextmanager
def started(
    environment: dict[str, str], module: str = "services.chat"
) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", module],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "DRAIN_LEAD_SECONDS": "0"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


async def test_a_process_that_is_told_to_end_finishes_its_streams_first(
    chat_dsn: str, redis_url: str, rabbitmq_url: str, tmp_path: Path, sql: asyncpg.Connection
) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    environment = {
        "PORT": str(port),
        "SHARED_DATABASE_URL": chat_dsn,
        "REDIS_URL": redis_url,
        "RABBITMQ_URL": rabbitmq_url,
        "JWT_SECRETS": SECRET,
        "MEDIA_DIR": str(tmp_path),
    }
    with started(environment) as process:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            async with asyncio.timeout(60):
                while not await is_ready(client):
                    assert process.poll() is None
                    await asyncio.sleep(0.1)
            ana = await People(client, sql).new()
            body = {"message": "[[slow]] go on", "character": "Neo"}
            async with client.stream(
                "POST", "/api/chat/talk_with/stream", json=body, headers=ana.headers
            ) as answer:
                chunks = answer.aiter_text()
                text = await anext(chunks)
                assert "event: start" in text
                process.send_signal(signal.SIGTERM)
                text += "".join([chunk async for chunk in chunks])
            assert events_of(text)[-1][1]["response"] == "Neo heard: [[slow]] go on"
            assert len(await stored(sql, ana)) == 2
        assert await asyncio.to_thread(process.wait, 30) == 0


async def is_ready(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/readyz")).status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, ["SHARED_DATABASE_URL", "REDIS_URL", "RABBITMQ_URL", "JWT_SECRETS"]),
        ({"MODEL_GPT_4O": "nobody:gpt"}, ["MODEL_GPT_4O", "<vendor>:<model>"]),
    ],
)
async def test_what_cannot_be_used_is_named_and_nothing_starts(
    changes: dict[str, str], words: list[str]
) -> None:
    with started(changes) as process:
        output, _ = await asyncio.to_thread(process.communicate, timeout=60)
        assert process.returncode == 2
    for word in words:
        assert word in output
