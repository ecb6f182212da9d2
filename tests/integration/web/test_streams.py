"""Event streams: form, order, errors, clients that leave, shutdown (contract, 1.12)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI

from shared.web import streams
from shared.web.streams import Event, StreamTasks, encode_event
from tests.integration.web.conftest import Person

Bearer = Callable[[UUID], dict[str, str]]
STREAM = "/api/chat/talk_with/stream"


@pytest.fixture
async def headers(person: Person, bearer: Bearer) -> dict[str, str]:
    return bearer(await person())


def _events(text: str) -> list[tuple[int, str, Any]]:
    found = []
    for block in text.strip().split("\n\n"):
        if block.startswith(":"):
            continue
        number, name, data = block.split("\n")
        found.append(
            (int(number.removeprefix("id: ")), name.removeprefix("event: "),
             json.loads(data.removeprefix("data: ")))
        )  # fmt: skip
    return found


async def test_events_are_numbered_and_the_head_forbids_buffering(
    client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    answer = await client.post(STREAM, json={"message": "a b\u2028c"}, headers=headers)
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache, no-transform"
    assert answer.headers["x-accel-buffering"] == "no"
    events = _events(answer.text)
    assert [number for number, _, _ in events] == list(range(1, len(events) + 1))
    assert [name for _, name, _ in events] == ["start", "delta", "delta", "delta", "done"]


async def test_what_fails_before_the_first_event_is_an_http_error(
    client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    answer = await client.post(STREAM, json={"message": "a", "mode": "fail"}, headers=headers)
    assert answer.status_code == 502
    assert answer.json()["error"]["code"] == "PROVIDER_ERROR"
    assert answer.json()["error"]["details"] == {"provider_kind": "model"}
    assert "fell over" not in answer.text


async def test_what_fails_later_is_the_last_event(
    client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    answer = await client.post(
        STREAM, json={"message": "a [[fail]]"}, headers=headers | {"X-Request-Id": "r-7"}
    )
    assert answer.status_code == 200
    _, name, data = _events(answer.text)[-1]
    assert name == "error"
    assert data["code"] == "PROVIDER_ERROR"
    assert data["request_id"] == "r-7"
    assert set(data) == {"code", "message", "details", "request_id"}


async def test_silence_is_filled_with_pings(
    client: httpx.AsyncClient, headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "PING_SECONDS", 0.05)
    answer = await client.post(STREAM, json={"message": "a b", "mode": "slow"}, headers=headers)
    assert ": ping\n\n" in answer.text
    assert [name for _, name, _ in _events(answer.text)] == ["start", "delta", "delta", "done"]


async def test_a_reply_is_finished_although_its_client_left(
    app: FastAPI, client: httpx.AsyncClient, headers: dict[str, str], calls: list[str]
) -> None:
    body = {"message": "a b c", "mode": "slow"}
    call = asyncio.create_task(client.post(STREAM, json=body, headers=headers))
    async with asyncio.timeout(5):
        while not len(app.state.streams):
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        call.cancel()
        while len(app.state.streams):
            await asyncio.sleep(0.01)
    assert calls == ["saved"]


async def test_a_replayed_stream_is_the_kept_short_form(
    client: httpx.AsyncClient, headers: dict[str, str], calls: list[str]
) -> None:
    keyed = headers | {"Idempotency-Key": "s"}
    await client.post(STREAM, json={"message": "a b"}, headers=keyed)
    again = await client.post(STREAM, json={"message": "a b"}, headers=keyed)
    assert again.headers["idempotency-replayed"] == "true"
    assert again.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert _events(again.text) == [(1, "done", {"text": "a b"})]
    assert calls == ["saved"]


async def test_shutdown_cuts_a_stream_once_and_lets_it_save(
    app: FastAPI, client: httpx.AsyncClient, headers: dict[str, str], calls: list[str]
) -> None:
    body = {"message": "a b c d e f g h", "mode": "slow"}
    call = asyncio.create_task(client.post(STREAM, json=body, headers=headers))
    while not len(app.state.streams):
        await asyncio.sleep(0.01)
    app.state.streams.begin_drain(seconds=0.3)
    answer = await call
    _, name, data = _events(answer.text)[-1]
    assert (name, data["code"]) == ("error", "UNAVAILABLE")
    assert calls == ["saved what there was"]


async def test_a_stream_without_a_first_event_is_504_and_stopped(
    app: FastAPI, monkeypatch: pytest.MonkeyPatch, client: httpx.AsyncClient,
    headers: dict[str, str],
) -> None:  # fmt: skip
    monkeypatch.setattr(streams, "FIRST_EVENT_SECONDS", 0.05)
    stopped = asyncio.Event()

    async def silent() -> AsyncIterator[Event]:
        try:
            await asyncio.sleep(60)
            yield Event("never", {})
        finally:
            stopped.set()

    monkeypatch.setattr("tests.support.sample_service._reply", lambda *_: silent())
    answer = await client.post(STREAM, json={"message": "a"}, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "UPSTREAM_TIMEOUT")
    async with asyncio.timeout(5):
        await stopped.wait()


def test_data_is_one_line_whatever_it_holds() -> None:
    raw = encode_event(3, Event("delta", {"text": "a\nb\r\n\ndata: x"}))
    assert raw.count(b"\n") == 4
    assert json.loads(raw.split(b"data: ", 1)[1])["text"] == "a\nb\r\n\ndata: x"


async def test_closing_without_streams_is_immediate() -> None:
    tasks = StreamTasks()
    tasks.begin_drain()
    await tasks.close()
    assert len(tasks) == 0
