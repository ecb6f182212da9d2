"""What every call of the stand-in of OpenAI shares: key, errors and scripted refusals."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse

from migrate.stack.stand_ins.scripts import Script
from migrate.stack.stand_ins.settings import StandInSettings


async def read_body(request: Request) -> dict[str, Any] | Response:
    """The JSON object of a request, or the refusal."""
    if (refused := check_key(request)) is not None:
        return refused
    try:
        body = json.loads(await request.body())
    except ValueError:
        body = None
    if not isinstance(body, dict):
        return error(400, "We could not parse the JSON body", "invalid_request_error")
    return body


def check_key(request: Request) -> Response | None:
    """Any Bearer key will do; 401 without one."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme == "Bearer" and key:
        return None
    return error(401, "You didn't provide an API key", "invalid_request_error", "invalid_api_key")


async def refusal(script: Script, settings: StandInSettings) -> Response | None:
    """Wait or refuse as the script wants."""
    if script.has("timeout"):
        await asyncio.sleep(settings.hold_seconds)
    if script.has("slow"):
        await asyncio.sleep(settings.slow_seconds)
    if script.has("fail"):
        return error(500, "The server had an error", "server_error")
    if script.has("overloaded"):
        return error(503, "The engine is currently overloaded", "server_error")
    if script.has("limit"):
        limited = error(429, "Rate limit reached", "requests", "rate_limit_exceeded")
        limited.headers["retry-after"] = "1"
        return limited
    return None


def error(status: int, message: str, kind: str, code: str | None = None) -> Response:
    """OpenAI's shape of an error."""
    content = {"message": message, "type": kind, "param": None, "code": code}
    return JSONResponse({"error": content}, status)
