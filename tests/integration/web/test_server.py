"""A service as a process under uvicorn: heads on the wire, streams, broken bodies, drain."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from tests.integration.web.conftest import Person
from tests.support.sample_service import ORIGIN, SECRET

REPOSITORY = Path(__file__).parents[3]
Bearer = Callable[[UUID], dict[str, str]]


@dataclass
class Served:
    process: asyncio.subprocess.Process
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def environment(platform_dsn: str, redis_url: str, rabbitmq_url: str) -> dict[str, str]:
    return {
        "PATH": "/usr/bin:/bin",
        "SHARED_DATABASE_URL": platform_dsn,
        "REDIS_URL": redis_url,
        "RABBITMQ_URL": rabbitmq_url,
        "JWT_SECRETS": SECRET,
        "ALLOWED_ORIGINS": ORIGIN,
        "RATE_LIMITS": "off",
        "DRAIN_LEAD_SECONDS": "0.6",
    }


@pytest.fixture
async def served(environment: dict[str, str]) -> AsyncIterator[Served]:
    async with serving(environment) as served:
        yield served


@asynccontextmanager
async def serving(environment: dict[str, str]) -> AsyncIterator[Served]:
    port = _free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.sample_service",
        cwd=REPOSITORY, env={**environment, "PORT": str(port)},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    served = Served(process, port)
    try:
        async with httpx.AsyncClient() as client, asyncio.timeout(30):
            while True:
                try:
                    await client.get(f"{served.url}/healthz")
                    break
                except httpx.TransportError:
                    await asyncio.sleep(0.05)
        yield served
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _raw(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    return answer


async def test_no_head_tells_which_server_answered(served: Served) -> None:
    for path in (b"/api/search?q=a", b"/nothing", b"/health"):
        answer = await _raw(
            served.port, b"GET " + path + b" HTTP/1.1\r\nHost: evil\r\nConnection: close\r\n\r\n"
        )
        head = answer.partition(b"\r\n\r\n")[0].lower()
        assert b"\r\nserver:" not in head
        assert b"x-powered-by" not in head
        assert b"evil" not in answer
        assert b"x-content-type-options: nosniff" in head


async def test_a_stream_reaches_the_client_as_it_is_made(served: Served) -> None:
    async with (
        httpx.AsyncClient() as client,
        client.stream("GET", f"{served.url}/api/resources/popular") as answer,
    ):
        started = time.monotonic()
        parts = [(part, time.monotonic() - started) async for part in answer.aiter_raw()]
    assert [part for part, _ in parts] == [b"first\n", b"second\n"]
    assert parts[1][1] - parts[0][1] > 0.2


async def test_a_body_that_breaks_off_is_seen_as_broken(served: Served) -> None:
    async with httpx.AsyncClient() as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get(f"{served.url}/api/resources/actors")
        assert (await client.get(f"{served.url}/healthz")).status_code == 200


async def test_a_drain_lets_requests_finish_and_says_so_first(
    served: Served, person: Person, bearer: Bearer
) -> None:
    headers = bearer(await person())
    slow = {"message": "a", "mode": "slow"}
    async with httpx.AsyncClient(base_url=served.url) as client:
        assert (await client.get("/readyz")).status_code == 200
        running = asyncio.create_task(
            client.post("/api/chat/talk_with", json=slow, headers=headers)
        )
        await asyncio.sleep(0.1)
        served.process.send_signal(signal.SIGTERM)
        served.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(5):
            while (draining := await client.get("/readyz")).status_code != 503:
                await asyncio.sleep(0.02)
        assert draining.json()["draining"] is True
        late = await client.get("/api/search?q=late")  # the router may not have seen it yet
        assert (late.status_code, late.headers["connection"]) == (200, "close")
        assert (await running).status_code == 200
    async with asyncio.timeout(10):
        output = (await served.process.communicate())[0].decode()
    assert served.process.returncode == 0
    assert "hook closed" in output


async def test_logs_are_json_lines_with_the_request_id_and_without_secrets(
    served: Served, person: Person, bearer: Bearer
) -> None:
    headers = bearer(await person())
    async with httpx.AsyncClient(base_url=served.url) as client:
        await client.get("/api/auth/users/me", headers=headers | {"X-Request-Id": "find-me"})
        broken = "/api/resources/movies/11111111-1111-4111-8111-111111111111"
        await client.get(broken, headers={"X-Request-Id": "broken-one"})
    served.process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(10):
        output = (await served.process.communicate())[0].decode()
    lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    access = [line for line in lines if line.get("request_id") == "find-me"]
    assert [(line["event"], line["route"], line["status"]) for line in access] == [
        ("request", "auth.me", 200)
    ]
    report = next(line for line in lines if line["event"] == "unexpected_error")
    assert report["request_id"] == "broken-one"
    assert "is on fire" in report["exception"]
    assert "hunter2" not in output
    assert headers["Authorization"].split(".")[1] not in output


async def test_a_service_without_its_settings_names_all_of_them(
    environment: dict[str, str],
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.sample_service",
        cwd=REPOSITORY, env={**environment, "JWT_SECRETS": "short", "REDIS_URL": ""},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output = (await process.communicate())[0].decode()
    assert process.returncode != 0
    assert "JWT_SECRETS: secret 1 has 5 bytes" in output
    assert "REDIS_URL: is missing" in output
    assert "short" not in output
