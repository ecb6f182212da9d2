"""JSON lines on standard output; never a secret, a token or a body."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

from monolith.values import format_timestamp

FIELDS = ("request_id", "route", "status", "duration_ms", "event", "domain")


class JsonLines(logging.Formatter):
    """One object per record."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "timestamp": format_timestamp(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: getattr(record, name) for name in FIELDS if hasattr(record, name)}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def start_logging(level: str) -> None:
    """Once per process, from __main__ only."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("pika").setLevel(logging.CRITICAL)  # the worker names what it waits for
    logging.getLogger("httpx").setLevel(logging.WARNING)


def start_sentry(dsn: str | None, release: str) -> None:
    """Report errors to Sentry if an address is given."""
    if dsn:
        import sentry_sdk

        sentry_sdk.init(dsn=dsn, release=release, send_default_pii=False, traces_sample_rate=0.0)
