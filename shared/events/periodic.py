"""Jobs by the clock inside a worker; knows no job."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from shared.errors import PeerError
from shared.observability.reports import report_exception
from shared.placement.pools import CONNECTION_ERRORS

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Periodic:
    """`run` every so often; it must bear being run by several workers at once."""

    name: str
    every_seconds: float
    run: Callable[[], Awaitable[object]]
    limit_seconds: float = 60.0


async def run_periodically(job: Periodic) -> None:
    """Run a job until cancelled; an error is reported and the job goes on at its next time."""
    while True:
        # spread, so that several workers do not all come in the same instant
        await asyncio.sleep(job.every_seconds * random.uniform(0.9, 1.1))  # noqa: S311
        try:
            async with asyncio.timeout(job.limit_seconds):
                await job.run()
        except (PeerError, *CONNECTION_ERRORS) as error:
            log.warning("periodic_job_waits", job=job.name, error=type(error).__name__)
        except Exception as error:
            report_exception(error, job=job.name)
