"""An app behind the router that speaks what the clients of the ring expect; run by uvicorn."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from collections.abc import AsyncIterator

import uvicorn
from fastapi import FastAPI, Request, WebSocket
from fastapi.responses import JSONResponse, StreamingResponse

app = FastAPI()
WORDS = ("Clients", " change", " nothing", ".")


@app.get("/healthz")
async def healthz() -> dict[str, bool]:
    return {"ok": True}


@app.get("/plain")
async def plain(request: Request) -> dict[str, str]:
    return {"query": request.url.query, "agent": request.headers.get("user-agent", "")}


@app.post("/echo")
async def echo(request: Request) -> dict[str, object]:
    digest, size = hashlib.sha256(), 0
    async for part in request.stream():
        digest.update(part)
        size += len(part)
    return {
        "sha256": digest.hexdigest(),
        "bytes": size,
        "content_type": request.headers.get("content-type"),
    }


def _stream(events: AsyncIterator[str]) -> StreamingResponse:
    return StreamingResponse(events, media_type="text/event-stream")


@app.get("/events")
async def events(count: int) -> StreamingResponse:
    async def send() -> AsyncIterator[str]:
        for number in range(count):
            yield f"id: {number}\nevent: delta\ndata: {json.dumps({'number': number})}\n\n"
            await asyncio.sleep(0.02)

    return _stream(send())


@app.websocket("/ws")
async def socket(websocket: WebSocket) -> None:
    await websocket.accept(subprotocol="scenextras.v1")
    async for text in websocket.iter_text():
        await websocket.send_text(text)


@app.post("/v1/chat/completions")
async def openai_chat() -> StreamingResponse:
    def chunk(delta: dict[str, str], finish: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        data = {
            "id": "c1",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": "m",
            "choices": [choice],
        }
        return f"data: {json.dumps(data)}\n\n"

    async def send() -> AsyncIterator[str]:
        yield chunk({"role": "assistant", "content": ""})
        for word in WORDS:
            yield chunk({"content": word})
            await asyncio.sleep(0.01)
        yield chunk({}, "stop")
        yield "data: [DONE]\n\n"

    return _stream(send())


@app.post("/v1/messages")
async def anthropic_messages() -> StreamingResponse:
    def event(kind: str, **data: object) -> str:
        return f"event: {kind}\ndata: {json.dumps({'type': kind, **data})}\n\n"

    async def send() -> AsyncIterator[str]:
        usage = {"input_tokens": 3, "output_tokens": 1}
        message = {
            "id": "m1", "type": "message", "role": "assistant", "model": "m", "content": [],
            "stop_reason": None, "stop_sequence": None, "usage": usage,
        }  # fmt: skip
        yield event("message_start", message=message)
        yield event("content_block_start", index=0, content_block={"type": "text", "text": ""})
        yield event("ping")
        for word in WORDS:
            yield event("content_block_delta", index=0, delta={"type": "text_delta", "text": word})
            await asyncio.sleep(0.01)
        yield event("content_block_stop", index=0)
        stop = {"stop_reason": "end_turn", "stop_sequence": None}
        yield event("message_delta", delta=stop, usage={"output_tokens": 4})
        yield event("message_stop")

    return _stream(send())


@app.post("/v1/customers")
async def stripe_customer(request: Request) -> JSONResponse:
    form = dict((await request.form()).items())
    key = request.headers.get("idempotency-key")
    return JSONResponse(
        {
            "id": "cus_1",
            "object": "customer",
            "email": form.get("email"),
            "metadata": {"key": key or ""},
        },
        headers={"Request-Id": "req_1"},
    )


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
