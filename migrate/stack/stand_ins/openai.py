"""Stand-in of OpenAI's API and of those that speak like it; scripts by markers in the prompt.

`openai` clients reach it by `base_url=…/openai/v1`. Knows nothing of who asks.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from migrate.stack.stand_ins.openai_media import add_media
from migrate.stack.stand_ins.openai_wire import error, read_body, refusal
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
MODELS = ("gpt-5", "gpt-4o-mini", "whisper-1", "tts-1", "gpt-image-1")


def openai_app(settings: StandInSettings) -> FastAPI:
    """Chat completions, models, moderations, speech and images under `/v1`."""
    app = FastAPI(title="Stand-in of OpenAI", openapi_url=None)

    @app.post("/v1/chat/completions")
    async def completions(request: Request) -> Response:
        body = await read_body(request)
        if isinstance(body, Response):
            return body
        if not body.get("model") or not body.get("messages"):
            return error(400, "you must provide a model and messages", "invalid_request_error")
        full = script_of(_last_text(body), "openai")
        script = shortened(full, body.get("max_completion_tokens") or body.get("max_tokens"))
        if (refused := await refusal(script, settings)) is not None:
            return refused
        finish = "stop" if script is full else "length"
        if body.get("stream"):
            return EventStream(_stream(body, script, finish), {"cache-control": "no-cache"})
        if script.ends_early:
            return error(500, "The server had an error", "server_error")
        choice = {
            "index": 0,
            "finish_reason": finish,
            "logprobs": None,
            "message": {"role": "assistant", "content": script.reply, "refusal": None},
        }
        made = _base(body, "chat.completion")
        return JSONResponse(made | {"choices": [choice], "usage": _usage(body, script)})

    @app.get("/v1/models")
    async def models() -> Json:
        about = {"object": "model", "created": 0, "owned_by": "stand-in"}
        return {"object": "list", "data": [about | {"id": name} for name in MODELS]}

    add_media(app, settings)
    return app


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in content or () if part.get("type") == "text")


def _last_text(body: Json) -> str:
    users = [message for message in body["messages"] if message.get("role") == "user"]
    return _text(users[-1].get("content")) if users else ""


def _usage(body: Json, script: Script) -> Json:
    prompt = tokens_of("".join(_text(message.get("content")) for message in body["messages"]))
    reply = tokens_of(script.reply)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": reply,
        "total_tokens": prompt + reply,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


def _base(body: Json, kind: str) -> Json:
    return {
        "id": f"chatcmpl-{secrets.token_hex(12)}",
        "object": kind,
        "created": int(time.time()),
        "model": body["model"],
        "system_fingerprint": "fp_stand_in",
    }


async def _stream(body: Json, script: Script, finish: str) -> AsyncIterator[bytes]:
    made = _base(body, "chat.completion.chunk")
    wants_usage = (body.get("stream_options") or {}).get("include_usage")
    more: Json = {"usage": None} if wants_usage else {}

    def chunk(delta: Json, reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return _event(made | {"choices": [choice]} | more)

    yield chunk({"role": "assistant", "content": "", "refusal": None})
    for count, piece in enumerate(script.pieces):
        if script.ends_early and count == DELTAS_BEFORE_END:
            break
        yield chunk({"content": piece})
        await asyncio.sleep(0)
    if script.has("disconnect"):
        raise StreamCut
    if script.has("fail-mid"):
        failure = {"message": "The server had an error", "type": "server_error"}
        yield _event({"error": failure | {"param": None, "code": None}})
        return
    yield chunk({}, finish)
    if wants_usage:
        yield _event(made | {"choices": [], "usage": _usage(body, script)})
    yield b"data: [DONE]\n\n"


def _event(data: Json) -> bytes:
    return f"data: {json.dumps(data)}\n\n".encode()
