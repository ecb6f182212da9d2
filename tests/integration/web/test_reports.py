"""Reports and traces to Sentry: only with a DSN, and never with secrets; sent to a collector of the test."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
import sentry_sdk
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from shared.events.broker import Delivery, Message
from shared.events.effects import Effects, Job
from shared.events.envelope import Event, new_event
from shared.observability.context import request_scope
from shared.observability.reports import report_exception
from shared.observability.sentry import start_sentry
from shared.observability.tracing import share_of
from shared.placement import Connection, Database, FixedPlacement, open_pools
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
        return [part for part in self._parts() if "exception" in part]

    def traces(self) -> list[dict[str, Any]]:
        """Finished transactions, in the order of their arrival."""
        return [
            part for part in self._parts() if part.get("type") == "transaction" and "spans" in part
        ]

    async def until(self, is_enough: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not is_enough():
                await self.arrived.wait()
                self.arrived.clear()

    def _parts(self) -> list[dict[str, Any]]:
        return [json.loads(line) for text in self.envelopes for line in text.splitlines()]


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


TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"


async def test_a_request_is_traced_by_its_route_within_the_trace_of_its_caller(
    collector: tuple[Collector, str], make_settings: Callable[..., AppSettings]
) -> None:
    box, dsn = collector
    settings = make_settings(sentry_dsn=SecretStr(dsn), sentry_traces_sample_rate=1.0)
    start_sentry(settings, service="sample")
    headers = {"Authorization": "Bearer hunter3", "traceparent": f"00-{TRACE}-{PARENT}-00"}
    async with running(sample_app(settings)) as app, client_of(app) as client:
        for path in (f"/api/resources/movies/{uuid4()}?q=hunter3", "/api/nothing", "/healthz"):
            await client.get(path, headers=headers)
        await client.get(f"/api/resources/movies/{BROKEN}", headers=headers)
    await box.until(lambda: len(box.traces()) == 2 and len(box.events()) == 1)
    assert [found["transaction"] for found in box.traces()] == ["content.movie", "content.movie"]
    first, failed = (found["contexts"]["trace"] for found in box.traces())
    assert (first["trace_id"], first["parent_span_id"]) == (TRACE, PARENT)
    assert (first["op"], first["status"], failed["status"]) == (
        "http.server",
        "ok",
        "internal_error",
    )
    assert box.events()[0]["contexts"]["trace"]["trace_id"] == TRACE
    assert "hunter3" not in json.dumps(box.envelopes)


async def test_an_event_is_traced_within_the_trace_of_the_request_that_caused_it(
    collector: tuple[Collector, str],
    make_settings: Callable[..., AppSettings],
    platform_dsn: str,
) -> None:
    box, dsn = collector
    start_sentry(
        make_settings(sentry_dsn=SecretStr(dsn), sentry_traces_sample_rate=1.0), service="worker"
    )

    async def handle(connection: Connection, event: Event) -> None:
        await connection.fetchval("SELECT 1")
        if event.data["media_id"].startswith("0000"):
            raise LookupError("no such image")

    with request_scope("r-1", f"00-{TRACE}-{PARENT}-01"):
        good = new_event("media.deleted", source="media", subject=uuid4(), data=_image(uuid4()))
        bad = new_event("media.deleted", source="media", subject=uuid4(), data=_image(UUID(int=1)))
    pools = await open_pools("test", shared_dsn=platform_dsn)
    database = Database("chat", pools, FixedPlacement())
    jobs = [
        Job(
            Delivery(
                Message(event.to_json(), str(event.id), event.type), event.type, False, 1, None
            ),
            event,
        )
        for event in (good, bad)
    ]
    result = await Effects("chat", {"media.deleted": handle}, database, 5.0).apply(jobs)
    await pools.close()
    assert [job.event for job, _error in result.failed] == [bad]
    await box.until(
        lambda: {_message(found) for found in box.traces()} == {str(good.id), str(bad.id)}
    )
    for found in box.traces():
        about = found["contexts"]["trace"]
        assert (found["transaction"], about["op"], about["trace_id"]) == (
            "media.deleted", "queue.process", TRACE,
        )  # fmt: skip
        expected = "internal_error" if _message(found) == str(bad.id) else "ok"
        assert about["status"] == expected
        assert about["data"]["messaging.destination.name"] == "chat"


def _image(media_id: UUID) -> dict[str, object]:
    return {"media_id": str(media_id)}


def _message(found: dict[str, Any]) -> str:
    return str(found["contexts"]["trace"]["data"]["messaging.message.id"])


async def test_traces_are_off_by_default_and_errors_are_not(
    collector: tuple[Collector, str], make_settings: Callable[..., AppSettings]
) -> None:
    box, dsn = collector
    settings = make_settings(sentry_dsn=SecretStr(dsn))
    start_sentry(settings, service="sample")
    async with running(sample_app(settings)) as app, client_of(app) as client:
        await client.get(f"/api/resources/movies/{BROKEN}")
    await box.until(lambda: len(box.events()) == 1)
    await asyncio.to_thread(sentry_sdk.flush, 5)
    assert box.traces() == []


@given(st.integers(0, 2**128 - 1), st.floats(0, 1))
def test_every_process_keeps_the_same_traces(trace_id: int, rate: float) -> None:
    context = {"transaction_context": {"trace_id": f"{trace_id:032x}"}}
    kept = share_of(rate)(context)
    assert kept == share_of(rate)(context)
    assert kept in (0.0, 1.0)
    assert kept == 0.0 or share_of(1.0)(context) == 1.0
    assert share_of(0.0)(context) == 0.0


def test_without_a_dsn_nothing_starts(make_settings: Callable[..., AppSettings]) -> None:
    assert not start_sentry(make_settings(), service="sample")
    report_exception(RuntimeError("only in the log"))
