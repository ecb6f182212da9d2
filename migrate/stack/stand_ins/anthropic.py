"""Stand-in of Anthropic's Messages API (docs.anthropic.com/en/api/messages); scripts by markers in the prompt.

`anthropic` clients reach it by `base_url`. Knows nothing of who asks.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from migrate.stack.stand_ins.scripts import (
    DELTAS_BEFORE_END,
    Script,
    script_of,
    shortened,
    tokens_of,
)
from migrate.stack.stand_ins.settings import StandInSettings
from migrate.stack.stand_ins.streaming import EventStream, StreamCut

Json = dict[str, Any]
MODELS = ("claude-opus-5", "claude-sonnet-5", "claude-haiku-4-5")
THOUGHT, SIGNATURE = "The stand-in thinks first.", "c3RhbmQtaW4="


def anthropic_app(settings: StandInSettings) -> FastAPI:
    """`/v1/messages`, `/v1/messages/count_tokens` and `/v1/models`."""
    app = FastAPI(title="Stand-in of Anthropic", openapi_url=None)

    @app.post("/v1/messages")
    async def messages(request: Request) -> Response:
        body = await _read(request)
        if isinstance(body, Response):
            return body
        if not body.get("max_tokens"):
            return _error(400, "invalid_request_error", "max_tokens: Field required")
        full = script_of(_last_text(body), "anthropic")
        script = shortened(full, body["max_tokens"])
        if script.has("timeout"):
            await asyncio.sleep(settings.hold_seconds)
        if (refusal := _refusal(script)) is not None:
            return refusal
        stop = "end_turn" if script is full else "max_tokens"
        usage = _usage(_prompt_tokens(body), script)
        if body.get("stream"):
            pieces = _stream(body["model"], script, stop, usage, settings.slow_seconds)
            return EventStream(pieces, _headers() | {"cache-control": "no-cache"})
        if script.has("slow"):
            await asyncio.sleep(settings.slow_seconds)
        if script.ends_early:
            return _error(500, "api_error", "Internal server error")
        message = _message(body["model"]) | {
            "content": _content(script),
            "stop_reason": stop,
            "usage": usage,
        }
        return JSONResponse(message, headers=_headers())

    @app.post("/v1/messages/count_tokens")
    async def count(request: Request) -> Response:
        body = await _read(request)
        if isinstance(body, Response):
            return body
        return JSONResponse({"input_tokens": _prompt_tokens(body)}, headers=_headers())

    @app.get("/v1/models")
    async def models() -> Json:
        about = {"type": "model", "created_at": "2026-01-01T00:00:00Z"}
        data = [about | {"id": name, "display_name": name} for name in MODELS]
        return {"data": data, "has_more": False, "first_id": MODELS[0], "last_id": MODELS[-1]}

    return app


async def _read(request: Request) -> Json | Response:
    if not request.headers.get("x-api-key") and not request.headers.get("authorization"):
        return _error(401, "authentication_error", "x-api-key header is required")
    if not request.headers.get("anthropic-version"):
        return _error(400, "invalid_request_error", "anthropic-version: header is required")
    try:
        body = json.loads(await request.body())
    except ValueError:
        return _error(400, "invalid_request_error", "The request body is not valid JSON")
    if not isinstance(body, dict) or not body.get("model") or not body.get("messages"):
        return _error(400, "invalid_request_error", "model and messages: Field required")
    return body


def _refusal(script: Script) -> Response | None:
    if script.has("fail"):
        return _error(500, "api_error", "Internal server error")
    if script.has("overloaded"):
        return _error(529, "overloaded_error", "Overloaded")
    if script.has("limit"):
        message = "This request would exceed your rate limit"
        return _error(429, "rate_limit_error", message, {"retry-after": "1"})
    return None


def _error(status: int, kind: str, message: str, more: dict[str, str] | None = None) -> Response:
    headers = _headers() | (more or {})
    error = {"type": kind, "message": message}
    content = {"type": "error", "error": error, "request_id": headers["request-id"]}
    return JSONResponse(content, status, headers)


def _headers() -> dict[str, str]:
    return {"request-id": f"req_{secrets.token_hex(12)}"}


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in content or () if part.get("type") == "text")


def _last_text(body: Json) -> str:
    users = [message for message in body["messages"] if message.get("role") == "user"]
    return _text(users[-1].get("content")) if users else ""


def _prompt_tokens(body: Json) -> int:
    said = [_text(message.get("content")) for message in body["messages"]]
    return tokens_of(_text(body.get("system")) + "".join(said))


def _usage(prompt_tokens: int, script: Script) -> Json:
    thought = tokens_of(THOUGHT) if script.has("think") else 0
    return {
        "input_tokens": prompt_tokens,
        "output_tokens": tokens_of(script.reply) + thought,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "service_tier": "standard",
    }


def _message(model: str) -> Json:
    return {
        "id": f"msg_{secrets.token_hex(12)}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def _content(script: Script) -> list[Json]:
    text: list[Json] = [{"type": "text", "text": script.reply}]
    if not script.has("think"):
        return text
    return [{"type": "thinking", "thinking": THOUGHT, "signature": SIGNATURE}, *text]


async def _stream(
    model: str, script: Script, stop: str, usage: Json, slow_seconds: float
) -> AsyncIterator[bytes]:
    yield _event("message_start", message=_message(model) | {"usage": usage | {"output_tokens": 1}})
    yield _event("ping")
    if script.has("slow"):
        await asyncio.sleep(slow_seconds)
        yield _event("ping")
    index = 0
    if script.has("think"):
        for event in _thinking(index):
            yield event
        index = 1
    empty = {"type": "text", "text": ""}
    yield _event("content_block_start", index=index, content_block=empty)
    for count, piece in enumerate(script.pieces):
        if script.ends_early and count == DELTAS_BEFORE_END:
            break
        delta = {"type": "text_delta", "text": piece}
        yield _event("content_block_delta", index=index, delta=delta)
        await asyncio.sleep(0)
    if script.has("disconnect"):
        raise StreamCut
    if script.has("fail-mid"):
        yield _event("error", error={"type": "overloaded_error", "message": "Overloaded"})
        return
    yield _event("content_block_stop", index=index)
    yield _event("message_delta", delta={"stop_reason": stop, "stop_sequence": None}, usage=usage)
    yield _event("message_stop")


def _thinking(index: int) -> list[bytes]:
    block = {"type": "thinking", "thinking": "", "signature": ""}
    thought = {"type": "thinking_delta", "thinking": THOUGHT}
    signature = {"type": "signature_delta", "signature": SIGNATURE}
    return [
        _event("content_block_start", index=index, content_block=block),
        _event("content_block_delta", index=index, delta=thought),
        _event("content_block_delta", index=index, delta=signature),
        _event("content_block_stop", index=index),
    ]


def _event(kind: str, **data: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **data})}\n\n".encode()
