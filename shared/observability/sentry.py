"""Sentry: errors and traces, off without a DSN; never sends bodies, cookies or tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sentry_sdk

from shared.observability.redaction import redact
from shared.settings import AppSettings

if TYPE_CHECKING:
    from sentry_sdk.types import Event, Hint

FLUSH_SECONDS = 2  # how long a stopping process may wait for the last reports


def start_sentry(settings: AppSettings, *, service: str) -> bool:
    """Start reporting if a DSN is set; gives whether it is."""
    if settings.sentry_dsn is None:
        return False
    sentry_sdk.init(
        dsn=settings.sentry_dsn.get_secret_value(),
        environment=settings.environment,
        release=settings.version,
        server_name=service,
        traces_sample_rate=settings.sentry_traces_sample_rate,
        send_default_pii=False,
        include_local_variables=False,  # they hold tokens and prompts
        max_request_body_size="never",
        before_send=_clean,
        shutdown_timeout=FLUSH_SECONDS,
    )
    sentry_sdk.set_tag("service", service)
    return True


def _clean(event: Event, _hint: Hint) -> Event | None:
    cleaned: Any = redact(event)
    result: Event = cleaned
    return result
