"""JSON logs on standard output with request, trace and event ids; secrets are removed."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog

from shared.observability.context import current_traceparent
from shared.observability.redaction import redact

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
#: Libraries that are noisy below these levels.
_QUIET = {"uvicorn.error": "warning", "pika": "warning", "httpx": "warning", "asyncio": "warning"}

EventDict = MutableMapping[str, Any]


def configure_logs(level: str = "info", *, service: str, stream: TextIO | None = None) -> None:
    """Send structlog and the standard library's logs as one JSON line each to `stream` (stdout)."""
    shared_steps: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        _add_service(service),
        _add_trace,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.format_exc_info,
        _remove_secrets,
    ]
    output = stream or sys.stdout
    structlog.configure(
        processors=[*shared_steps, structlog.processors.JSONRenderer(default=str)],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(output),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(output)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared_steps,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(default=str),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(_LEVELS[level])
    for name, lowest in _QUIET.items():
        logging.getLogger(name).setLevel(max(_LEVELS[level], _LEVELS[lowest]))


def _add_service(service: str) -> structlog.types.Processor:
    def add(_logger: Any, _method: str, event: EventDict) -> EventDict:
        event.setdefault("service", service)
        return event

    return add


def _add_trace(_logger: Any, _method: str, event: EventDict) -> EventDict:
    traceparent = current_traceparent()
    if traceparent is not None:
        event.setdefault("trace_id", traceparent.split("-")[1])
    return event


def _remove_secrets(_logger: Any, _method: str, event: EventDict) -> EventDict:
    cleaned: EventDict = redact(event)
    return cleaned
