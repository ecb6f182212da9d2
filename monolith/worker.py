"""`python -m monolith.worker`: relay, consumer, webhook effects and schedules, beside the web."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

from monolith.app import parts_of
from monolith.context import Context, build_context
from monolith.domain import Domain, Schedule
from monolith.domains import DOMAINS
from monolith.events.consumer import run_consumer
from monolith.events.dispatch import Dispatcher
from monolith.events.outbox import clean_up
from monolith.events.relay import direct_batch, run_direct, run_relay
from monolith.events.topology import Names
from monolith.idempotency import forget_expired
from monolith.logs import start_logging, start_sentry
from monolith.settings import Settings, SettingsError, settings_from_environment
from monolith.webhooks.desk import WebhookDesk, alarm_given_up

log = logging.getLogger("monolith.worker")
SCHEDULE_SECONDS_MAX = 60.0  # a run that takes longer is cut off and tried at the next turn


async def retry_webhooks(context: Context) -> None:
    await context.part(WebhookDesk).apply_due(context)


async def forget_old_keys(context: Context) -> None:
    await forget_expired(context.database)


SCHEDULES = (
    Schedule("webhooks.retry", 1.0, retry_webhooks),
    Schedule("webhooks.alarm", 3600.0, alarm_given_up),
    Schedule("platform.clean_up", 60.0, clean_up),
    Schedule("platform.idempotency", 600.0, forget_old_keys),
)


class Worker:
    """Everything that is not a request."""

    def __init__(self, settings: Settings, domains: Sequence[Domain] = DOMAINS) -> None:
        self._settings = settings
        self.context = build_context(settings, "worker", parts_of(settings, domains))
        self.dispatcher = Dispatcher(self.context, domains)
        self.schedules = (*SCHEDULES, *(s for domain in domains for s in domain.schedules))

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """The worker's connections, without its jobs."""
        await self.context.open()
        try:
            yield
        finally:
            await self.context.close()

    async def settle(self) -> None:
        """Handle everything that waits in the outbox, here and now, without a broker."""
        while await direct_batch(self.context, self.dispatcher):
            pass

    async def run(self, stop: asyncio.Event) -> None:
        """Work until stop is set; whatever ends early is named and ends the process."""
        async with self.opened():
            await self._run(stop)

    async def _run(self, stop: asyncio.Event) -> None:
        tasks = [asyncio.create_task(job, name=name) for name, job in self._jobs()]
        stopping = asyncio.create_task(stop.wait())
        try:
            done, _ = await asyncio.wait({stopping, *tasks}, return_when=asyncio.FIRST_COMPLETED)
            for task in done - {stopping}:
                task.result()
                raise RuntimeError(f"{task.get_name()} ended")
        finally:
            for task in (stopping, *tasks):
                task.cancel()
            await asyncio.gather(stopping, *tasks, return_exceptions=True)

    def _jobs(self) -> list[tuple[str, Coroutine[Any, Any, None]]]:
        settings = self._settings
        jobs = [(s.name, self._repeat(s)) for s in self.schedules]
        if settings.rabbitmq_url is None:
            jobs.append(("direct", run_direct(self.context, self.dispatcher)))
        else:
            names = Names(settings.events_exchange, settings.events_queue)
            url = settings.rabbitmq_url
            declared = asyncio.Event()  # nothing is published before the queue is bound
            jobs.append(("consumer", run_consumer(self.dispatcher, url, names, declared)))
            jobs.append(("relay", run_relay(self.context, url, names.exchange, declared)))
        return jobs

    async def _repeat(self, schedule: Schedule) -> None:
        while True:
            try:
                async with asyncio.timeout(SCHEDULE_SECONDS_MAX):
                    await schedule.run(self.context)
            except Exception as error:
                log.warning("%s: %s", schedule.name, type(error).__name__)
            await asyncio.sleep(schedule.every_seconds)


async def _serve(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await Worker(settings).run(stop)


def main() -> int:
    try:
        settings = settings_from_environment()
    except SettingsError as error:
        sys.stderr.write(f"cannot start: {error}\n")
        return 2
    start_logging(settings.log_level)
    start_sentry(settings.sentry_dsn, settings.version)
    asyncio.run(_serve(settings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
