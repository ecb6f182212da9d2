"""The doctor against real servers, well and ill."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from migrate.doctor.addresses import address_findings
from migrate.doctor.cache import redis_findings
from migrate.doctor.databases import database_findings
from shared.manifest import Manifest, load_manifest
from tests.support.platform_database import platform_database

ROOT = Path(__file__).parents[3]

#: Status and extra header lines by path; what a path is not named for is a good 400.
Answers = dict[str, tuple[int, str, bytes]]


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    return load_manifest(ROOT / "migration.toml")


@pytest.fixture
async def host() -> AsyncIterator[tuple[str, Answers]]:
    """A public host that answers as it is told."""
    answers: Answers = {"/health": (200, "", b'{"status": "healthy"}')}

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            path = head.split(b" ")[1].decode()
            if b"content-length: 2" in head.lower():
                await reader.readexactly(2)
            status, headers, body = answers.get(path, (400, "", b"{}"))
            writer.write(
                f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode()
                + body
            )
            await writer.drain()

    async def quiet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(quiet, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", answers
    server.close()


async def test_a_good_host_has_only_good_findings(
    manifest: Manifest, host: tuple[str, Answers]
) -> None:
    found = await address_findings(manifest, host[0])
    assert {finding.level for finding in found} == {"ok"}
    assert len(found) == 5


@pytest.mark.parametrize(
    ("status", "headers", "word"),
    [
        (307, "Location: https://elsewhere.example/x\r\n", "redirects to https://elsewhere"),
        (401, "", "asks for a token"),
        (404, "", "not served"),
        (405, "", "takes no POST"),
        (429, "", "rate limited"),
        (200, "", "without a signature"),
        (500, "", "fails"),
    ],
)
async def test_a_webhook_address_that_loses_deliveries_is_found(
    manifest: Manifest, host: tuple[str, Answers], status: int, headers: str, word: str
) -> None:
    host[1]["/api/payments/webhook"] = (status, headers, b"{}")
    found = await address_findings(manifest, host[0])
    wrong = [finding for finding in found if finding.level != "ok"]
    assert [finding.subject for finding in wrong] == ["POST /api/payments/webhook"]
    assert word in wrong[0].message


@pytest.mark.parametrize(
    ("answer", "level"),
    [
        ((503, "", b'{"status": "unhealthy"}'), "error"),
        ((200, "", b'{"status": "degraded"}'), "warning"),
        ((200, "Server: nginx\r\n", b'{"status": "healthy"}'), "warning"),
        ((200, "", b"<html>"), "error"),
        ((200, "", b"[]"), "error"),
    ],
)
async def test_an_ill_host_is_found(
    manifest: Manifest, host: tuple[str, Answers], answer: tuple[int, str, bytes], level: str
) -> None:
    host[1]["/health"] = answer
    assert (await address_findings(manifest, host[0]))[0].level == level


async def test_servers_that_are_down_are_errors_and_no_crash(manifest: Manifest) -> None:
    found = [
        *await address_findings(manifest, "http://127.0.0.1:1"),
        *await redis_findings("redis://127.0.0.1:1/0"),
        *await database_findings("shared", "postgresql://x@127.0.0.1:1/x", is_shared=True),
    ]
    assert {finding.level for finding in found} == {"error"}


async def test_a_database_that_anybody_may_use_is_found(postgres_url: str) -> None:
    async with platform_database(postgres_url) as dsn:
        assert [f.level for f in await database_findings("shared", dsn, is_shared=True)] == ["ok"]
        connection = await asyncpg.connect(dsn)
        await connection.execute("GRANT EXECUTE ON FUNCTION quota_sweep() TO PUBLIC")
        await connection.execute("GRANT SELECT ON users TO PUBLIC")
        await connection.execute("ALTER TABLE maintenance_modes RENAME TO gone")
        await connection.execute("DROP SCHEMA strangler CASCADE")
        await connection.close()
        messages = [f.message for f in await database_findings("shared", dsn, is_shared=True)]
    assert [word in message for word, message in zip(
        ("quota_sweep", "users", "maintenance_modes", "migrate db migrate"), messages, strict=True
    )] == [True] * 4  # fmt: skip


async def test_the_command_prints_findings_and_fails_on_errors(
    postgres_url: str, redis_url: str, rabbitmq_url: str, tmp_path: Path
) -> None:
    async with platform_database(postgres_url) as dsn:
        code, output = await _doctor(
            tmp_path,
            SHARED_DATABASE_URL=dsn,
            REDIS_URL=redis_url,
            RABBITMQ_URL=rabbitmq_url,
            PUBLIC_BASE_URL="http://127.0.0.1:1",
            JWT_SECRETS="q8Zr1vXo0Lw5Yt7BnE3cUu9dKh2mGs4PaJfWxT6i",
            EVENTS_PREFIX="doctor.",
        )
    findings = {row["subject"]: row["level"] for row in json.loads(output)["findings"]}
    assert code == 1
    assert findings["http://127.0.0.1:1/health"] == "error"
    assert findings["JWT_SECRETS"] == "ok"
    assert findings["python-jose"] == "ok"
    assert findings["limits"] == "ok"
    assert findings["database shared"] == "ok"
    assert findings["redis"] == "ok"
    assert findings["broker"] == "ok"
    assert findings["outbox of shared"] == "ok"


async def _doctor(directory: Path, **environment: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "migrate.cli", "doctor", "--json",
        cwd=ROOT, stdout=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "STACK_DIRECTORY": str(directory), **environment},
    )  # fmt: skip
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()
