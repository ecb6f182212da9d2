"""Stand-ins of OpenAI's speech, image and moderation endpoints; bytes in, bytes out, always the same."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
import time
import zlib

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from starlette.datastructures import UploadFile

from migrate.stack.stand_ins.openai_wire import check_key, error, read_body, refusal
from migrate.stack.stand_ins.scripts import script_of
from migrate.stack.stand_ins.settings import StandInSettings

_TYPES = {
    "mp3": "audio/mpeg",
    "opus": "audio/opus",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}
IMAGES_MAX = 10


def add_media(app: FastAPI, settings: StandInSettings) -> None:
    """Transcriptions, speech, images and moderations."""

    @app.post("/v1/audio/transcriptions")
    async def transcribe(request: Request) -> Response:
        if (refused := check_key(request)) is not None:
            return refused
        async with request.form() as form:
            file, model = form.get("file"), form.get("model")
            if not isinstance(file, UploadFile) or not model:
                return error(400, "file and model are needed", "invalid_request_error")
            sound = await file.read()
            form_, language = str(form.get("response_format") or "json"), form.get("language")
        script = script_of(sound[:4096].decode("latin-1"))
        if (refused := await refusal(script, settings)) is not None:
            return refused
        text = f"transcript of {len(sound)} bytes"
        if form_ == "text":
            return PlainTextResponse(text + "\n")
        if form_ == "verbose_json":
            more = {"task": "transcribe", "language": str(language or "english"), "duration": 1.0}
            return JSONResponse(more | {"text": text, "segments": []})
        return JSONResponse({"text": text, "usage": {"type": "duration", "seconds": 1}})

    @app.post("/v1/audio/speech")
    async def speak(request: Request) -> Response:
        body = await read_body(request)
        if isinstance(body, Response):
            return body
        text, form = str(body.get("input", "")), str(body.get("response_format") or "mp3")
        if not text or form not in _TYPES:
            return error(400, "input or response_format is invalid", "invalid_request_error")
        if (refused := await refusal(script_of(text), settings)) is not None:
            return refused
        digest = hashlib.sha256(f"{body.get('voice')}|{form}|{text}".encode()).hexdigest()
        return Response(f"STAND-IN-AUDIO:{digest}".encode(), media_type=_TYPES[form])

    @app.post("/v1/images/generations")
    async def images(request: Request) -> Response:
        body = await read_body(request)
        if isinstance(body, Response):
            return body
        prompt, count = str(body.get("prompt", "")), int(body.get("n") or 1)
        if not prompt or not 1 <= count <= IMAGES_MAX:
            return error(400, "prompt or n is invalid", "invalid_request_error")
        if (refused := await refusal(script_of(prompt), settings)) is not None:
            return refused
        if script_of(prompt).has("reject"):
            message = "Your request was rejected by the safety system"
            return error(400, message, "image_generation_user_error", "moderation_blocked")
        picture = base64.b64encode(png_of(prompt)).decode()
        return JSONResponse({"created": int(time.time()), "data": [{"b64_json": picture}] * count})

    @app.post("/v1/moderations")
    async def moderate(request: Request) -> Response:
        body = await read_body(request)
        if isinstance(body, Response):
            return body
        given = body.get("input", "")
        inputs = given if isinstance(given, list) else [given]
        results = [_judged(one if isinstance(one, str) else json.dumps(one)) for one in inputs]
        model = body.get("model") or "omni-moderation-latest"
        return JSONResponse({"id": "modr-stand-in", "model": model, "results": results})


def png_of(text: str) -> bytes:
    """A picture of one pixel whose colour depends on the text."""
    colour = hashlib.sha256(text.encode()).digest()[:3]
    head = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", head), (b"IDAT", zlib.compress(b"\0" + colour)), (b"IEND", b"")]
    chunks = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _judged(text: str) -> dict[str, object]:
    is_bad = script_of(text).has("reject")
    names = ("harassment", "hate", "self-harm", "sexual", "violence")
    return {
        "flagged": is_bad,
        "categories": {name: is_bad and name == "violence" for name in names},
        "category_scores": {name: 1.0 if is_bad and name == "violence" else 0.0 for name in names},
        "category_applied_input_types": {name: ["text"] for name in names},
    }
