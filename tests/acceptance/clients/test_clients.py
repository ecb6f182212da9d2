"""Clients that know nothing of the router: each works through it as it works without it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest
import stripe

from shared.control.model import ControlState
from shared.control.snapshot import write_snapshot

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
REPLY = "Clients change nothing."
NODE_SECONDS = 300  # installing the packages included


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def _wait_for(url: str, process: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(60), httpx.AsyncClient() as client:
        while True:
            assert process.returncode is None, f"{url} ended with {process.returncode}"
            try:
                if (await client.get(url, timeout=2)).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.05)


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[str]:
    """Address of a router process (serving from its snapshot) in front of the app of this ring."""
    app_port, port = _free_port(), _free_port()
    write_snapshot(tmp_path / "snapshot.json", ControlState(1))
    environment = {
        **os.environ,
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "ADMIN_PORT": str(_free_port()),
        "ADMIN_TOKEN": "clients-admin-token-clients-admin-token",
        "MANIFEST": str(ROOT / "migration.toml"),
        "SNAPSHOT_PATH": str(tmp_path / "snapshot.json"),
        "SHARED_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "WORKERS": "1",
        "MONOLITH_URL": f"http://127.0.0.1:{app_port}",
        "JWT_SECRETS": "clients-secret-clients-secret-clients",
    }
    app = await asyncio.create_subprocess_exec(
        sys.executable, str(HERE / "backend.py"), str(app_port)
    )
    router = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "router", cwd=ROOT, env=environment
    )
    try:
        await _wait_for(f"http://127.0.0.1:{app_port}/healthz", app)
        await _wait_for(f"http://127.0.0.1:{port}/health", router)
        yield f"http://127.0.0.1:{port}"
    finally:
        for process in (router, app):
            if process.returncode is None:
                process.terminate()
            async with asyncio.timeout(30):
                await process.wait()


def _node_packages() -> dict[str, str]:
    """The packages of the ring, installed once; the environment with node on its path."""
    folder = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    if not (HERE / "node_modules" / ".package-lock.json").exists():
        npm = shutil.which("npm", path=environment["PATH"])
        assert npm is not None
        subprocess.run(
            [npm, "ci", "--silent"], cwd=HERE, env=environment, check=True, timeout=NODE_SECONDS
        )
    return environment


@pytest.mark.timeout(NODE_SECONDS + 60)
async def test_fetch_undici_axios_eventsource_and_ws_of_node(host: str) -> None:
    environment = await asyncio.to_thread(_node_packages)
    node = shutil.which("node", path=environment["PATH"])
    assert node is not None
    process = await asyncio.create_subprocess_exec(
        node, str(HERE / "clients.mjs"), host, env=environment, stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(60):
        out, _ = await process.communicate()
    assert json.loads(out) == {
        "withFetch": [200, "x=1", True],
        "withFetchStream": 5,
        "withUndici": True,
        "withAxios": [True, "image/png", 404],
        "withEventSource": [0, 1, 2],
        "withWebSocket": ["scenextras.v1", [5, 100_000], 1000],
    }


async def test_curl_uploads_with_expect_and_reads_a_stream(host: str, tmp_path: Path) -> None:
    body = os.urandom(2 * 1024 * 1024)
    (tmp_path / "body").write_bytes(body)

    async def curl(*words: str) -> bytes:
        process = await asyncio.create_subprocess_exec(
            "curl", "-sS", "--max-time", "30", *words, stdout=asyncio.subprocess.PIPE
        )
        out, _ = await process.communicate()
        assert process.returncode == 0
        return out

    for words in (("-H", "Expect: 100-continue"), ("-H", "Transfer-Encoding: chunked")):
        answer = json.loads(
            await curl(*words, "--data-binary", f"@{tmp_path / 'body'}", f"{host}/echo")
        )
        assert answer["sha256"] == hashlib.sha256(body).hexdigest()
    assert (await curl("-N", f"{host}/events?count=4")).count(b"event: delta") == 4
    assert b"200 OK" in await curl("-I", f"{host}/health")


async def test_httpx_keeps_one_connection_for_many_requests(host: str) -> None:
    async with httpx.AsyncClient(base_url=host) as client:
        for number in range(50):
            answer = await client.get("/plain", params={"x": number})
            assert answer.json()["query"] == f"x={number}"
        async with client.stream("GET", "/events", params={"count": 3}) as stream:
            lines = [line async for line in stream.aiter_lines() if line.startswith("event")]
    assert lines == ["event: delta"] * 3


async def test_the_openai_sdk_streams(host: str) -> None:
    async with openai.AsyncOpenAI(api_key="k", base_url=f"{host}/v1", max_retries=0) as client:
        stream = await client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "x"}], stream=True
        )
        parts = [chunk.choices[0].delta.content or "" async for chunk in stream]
    assert "".join(parts) == REPLY


async def test_the_anthropic_sdk_streams(host: str) -> None:
    async with anthropic.AsyncAnthropic(api_key="k", base_url=host, max_retries=0) as client:
        messages: Any = [{"role": "user", "content": "x"}]
        async with client.messages.stream(model="m", max_tokens=10, messages=messages) as stream:
            text = "".join([part async for part in stream.text_stream])
    assert text == REPLY


@pytest.mark.filterwarnings(
    "ignore:Use 'content=:DeprecationWarning"
)  # of the SDK's own httpx call
async def test_the_stripe_sdk_creates_a_customer(host: str) -> None:
    http_client = stripe.HTTPXClient()
    client = stripe.StripeClient(
        "sk_test_x",
        base_addresses={"api": host},
        max_network_retries=0,
        http_client=http_client,
    )
    customer = await client.v1.customers.create_async(
        {"email": "ada@example.com"}, {"idempotency_key": "cust:1"}
    )
    await http_client.close_async()
    assert (customer.id, customer.email) == ("cus_1", "ada@example.com")
    assert customer.to_dict()["metadata"] == {"key": "cust:1"}
