"""The processes as they are started: web, worker, a missing setting."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE, STDOUT, Process

import asyncpg
import httpx

from tests.support.people import SECRET


async def start(module: str, **environment: str) -> Process:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, env=kept | environment, stdout=PIPE, stderr=STDOUT
    )


async def stop(process: Process) -> tuple[int | None, str]:
    process.send_signal(signal.SIGTERM)
    output, _ = await asyncio.wait_for(process.communicate(), 30)
    return process.returncode, output.decode()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_web_and_worker_start_work_and_stop(dsn: str, redis_url: str) -> None:
    port = free_port()
    environment = {
        "DATABASE_URL": dsn,
        "REDIS_URL": redis_url,
        "JWT_SECRETS": SECRET,
        "PORT": str(port),
        "RATE_LIMITS": "off",
    }
    web = await start("monolith", **environment)
    worker = await start("monolith.worker", **environment)
    rows = await asyncpg.connect(dsn)
    try:
        async with (
            asyncio.timeout(60),
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client,
        ):
            while True:
                try:
                    if (await client.get("/readyz")).status_code == 200:
                        break
                except httpx.TransportError:
                    await asyncio.sleep(0.1)
            body = {"email": "a@example.com", "name": "Ana"}
            await client.post("/api/auth/create-account", json=body)
            code = {"email": "a@example.com", "code": "000000"}
            answer = await client.post("/api/auth/verify-otp", json=code)
            assert answer.status_code == 200
            assert "server" not in answer.headers
            assert b"monolith_requests_total" in (await client.get("/metrics")).content
            while not await rows.fetchval("SELECT count(*) FROM notifications"):
                await asyncio.sleep(0.1)
    finally:
        await rows.close()
        web_end, worker_end = await stop(web), await stop(worker)
    assert worker_end[0] == 0, worker_end[1]
    assert web_end[0] in (0, -signal.SIGTERM), web_end[1]
    assert '"route": "auth.verify_otp"' in web_end[1]
    assert "a@example.com" not in web_end[1] + worker_end[1]
    assert "Traceback" not in web_end[1] + worker_end[1]


async def test_a_missing_setting_is_named_instead_of_a_start() -> None:
    for module in ("monolith", "monolith.worker"):
        process = await start(module, DATABASE_URL="postgresql://x", JWT_SECRETS="short")
        output, _ = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == 2
        assert b"JWT_SECRETS" in output
        assert b"short" not in output.replace(b"fewer", b"")
