"""Sentry: errors and traces, off without a DSN; never sends bodies, cookies or tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sentry_sdk
from sentry_sdk.integrations.asyncpg import AsyncPGIntegration
from sentry_sdk.integrations.httpx import HttpxIntegration
from sentry_sdk.integrations.logging import LoggingIntegration
from sentry_sdk.integrations.redis import RedisIntegration

from shared.observability.redaction import redact
from shared.observability.tracing import NAMELESS, share_of
from shared.settings import AppSettings

if TYPE_CHECKING:
    from sentry_sdk._types import DataCollectionUserOptions
    from sentry_sdk.types import Event, Hint

FLUSH_SECONDS = 2  # how long a stopping process may wait for the last reports

#: What integrations may add to a report by themselves. Prompts, bodies, cookies, query strings and
#: local variables hold what people said, and tokens.
COLLECTED: DataCollectionUserOptions = {
    "user_info": False,
    "cookies": {"mode": "off"},
    "http_headers": {
        "request": {"mode": "allowlist", "terms": ["user-agent", "content-type", "x-request-id"]}
    },
    "http_bodies": [],
    "url_query_params": {"mode": "off"},
    "gen_ai": {"inputs": False, "outputs": False},
    "database_query_data": False,
    "queues": False,
    "stack_frame_variables": False,
}


def start_sentry(settings: AppSettings, *, service: str) -> bool:
    """Start reporting if a DSN is set; gives whether it is."""
    if settings.sentry_dsn is None:
        return False
    sentry_sdk.init(
        dsn=settings.sentry_dsn.get_secret_value(),
        environment=settings.environment,
        release=settings.git_rev,
        server_name=service,
        traces_sampler=share_of(settings.sentry_traces_sample_rate),
        data_collection=COLLECTED,
        # Named, because looking for integrations imports every library that is installed. Requests
        # and events are traced by tracing.py: those of web frameworks would time them once more.
        auto_enabling_integrations=False,
        integrations=[
            AsyncPGIntegration(),
            RedisIntegration(),
            HttpxIntegration(),
            LoggingIntegration(event_level=None),  # errors are reported once, by reports.py
        ],
        max_request_body_size="never",
        before_send=_clean,
        before_send_transaction=_clean_trace,
        shutdown_timeout=FLUSH_SECONDS,
    )
    sentry_sdk.set_tag("service", service)
    return True


def _clean(event: Event, _hint: Hint) -> Event | None:
    cleaned: Any = redact(event)
    result: Event = cleaned
    return result


def _clean_trace(event: Event, hint: Hint) -> Event | None:
    return None if event.get("transaction") == NAMELESS else _clean(event, hint)
