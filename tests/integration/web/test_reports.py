"""Reports to Sentry: only with a DSN, and never with secrets; sent to a collector of the test."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import sentry_sdk
from pydantic import SecretStr

from shared.observability.reports import report_exception
from shared.observability.sentry import start_sentry
from shared.settings import AppSettings
from tests.support.sample_service import BROKEN, client_of, running, sample_app


class Collector:
    """Takes envelopes as Sentry's ingestion does."""

    def __init__(self) -> None:
        self.envelopes: list[str] = []
        self.arrived = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.split("content-length: ")[1].split("\r\n")[0])
        body = await reader.readexactly(length)
        text = gzip.decompress(body) if "gzip" in head else body
        self.envelopes.append(text.decode())
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        await writer.drain()
        writer.close()
        self.arrived.set()

    def events(self) -> list[dict[str, Any]]:
        parts = [json.loads(line) for text in self.envelopes for line in text.splitlines()]
        return [part for part in parts if "exception" in part]


@pytest.fixture
async def collector() -> AsyncIterator[tuple[Collector, str]]:
    collector = Collector()
    server = await asyncio.start_server(collector.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    yield collector, f"http://public@127.0.0.1:{port}/1"
    sentry_sdk.get_client().close(timeout=0.2)
    sentry_sdk.get_global_scope().set_client(None)
    server.close()


async def test_an_unexpected_error_is_reported_without_secrets(
    collector: tuple[Collector, str], make_settings: Callable[..., AppSettings]
) -> None:
    box, dsn = collector
    settings = make_settings(sentry_dsn=SecretStr(dsn))
    assert start_sentry(settings, service="sample")
    async with running(sample_app(settings)) as app, client_of(app) as client:
        headers = {"Authorization": "Bearer hunter3", "Cookie": "session=hunter3"}
        await client.get(f"/api/resources/movies/{BROKEN}?token=hunter3", headers=headers)
        await client.get("/api/nothing")
    async with asyncio.timeout(10):
        await box.arrived.wait()
    (event,) = box.events()
    assert event["exception"]["values"][-1]["type"] == "RuntimeError"
    assert event["tags"]["service"] == "sample"
    text = json.dumps(box.envelopes)
    assert "hunter2" not in text
    assert "hunter3" not in text


def test_without_a_dsn_nothing_starts(make_settings: Callable[..., AppSettings]) -> None:
    assert not start_sentry(make_settings(), service="sample")
    report_exception(RuntimeError("only in the log"))
