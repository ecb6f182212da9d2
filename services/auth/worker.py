"""`python -m services.auth.worker`: mails about events of others, and deliveries that wait."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.auth.consumers import AuthEvents
from services.auth.effects import webhook_effects
from services.auth.mail import open_mailer
from services.auth.settings import AuthWorkerSettings
from shared.errors import OperatorError
from shared.events.worker import WorkerContext, WorkerPlan, run_worker
from shared.web.maintenance_source import following_modes
from shared.webhooks import WebhookProcessor
from shared.webhooks.jobs import webhook_jobs

NAME = "auth"


@asynccontextmanager
async def build(context: WorkerContext) -> AsyncIterator[WorkerPlan]:
    """The plan of this worker."""
    settings = context.settings
    if not isinstance(settings, AuthWorkerSettings):
        raise OperatorError("the auth worker runs with AuthWorkerSettings")
    async with open_mailer(settings) as mailer, following_modes(context.database.shared) as modes:
        processor = WebhookProcessor(
            context.database, webhook_effects(), is_held=lambda: modes.mode_of(NAME).name != "off"
        )
        yield WorkerPlan(handlers=AuthEvents(mailer).handlers(), periodic=webhook_jobs(processor))


if __name__ == "__main__":
    sys.exit(run_worker(NAME, build, AuthWorkerSettings))
