"""Reports of unexpected exceptions: to the log always, to Sentry when a DSN is set."""

from __future__ import annotations

import sentry_sdk
import structlog

log = structlog.get_logger("errors")


def report_exception(error: BaseException, **fields: object) -> None:
    """Record an exception that nobody expected, with the fields that help to find it."""
    log.error("unexpected_error", exc_info=error, error_type=type(error).__name__, **fields)
    sentry_sdk.capture_exception(error)  # does nothing without a DSN
