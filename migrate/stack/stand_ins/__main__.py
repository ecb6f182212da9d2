"""Start of the stand-ins: `python -m migrate.stack.stand_ins`, settings from the environment."""

from __future__ import annotations

import asyncio
import os
import sys

import uvicorn

from migrate.stack.stand_ins.app import build
from migrate.stack.stand_ins.outbox import MailOutbox
from migrate.stack.stand_ins.settings import StandInSettings, read_settings
from migrate.stack.stand_ins.smtp import SmtpSink

#: How long open streams may go on after SIGTERM, in seconds.
DRAIN_SECONDS = 2


async def serve(settings: StandInSettings) -> None:
    """Run until SIGTERM or SIGINT."""
    outbox = MailOutbox(settings.outbox)
    sink = SmtpSink(outbox)
    if settings.smtp_port is not None:
        await sink.open(settings.host, settings.smtp_port)
    config = uvicorn.Config(
        build(settings, outbox),
        host=settings.host,
        port=settings.port,
        log_level=os.environ.get("LOG_LEVEL", "warning").lower(),
        lifespan="off",
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
    try:
        await uvicorn.Server(config).serve()
    finally:
        await sink.close()


def main() -> None:
    """Exit 2 with a reason when a variable cannot be read."""
    try:
        settings = read_settings(os.environ)
    except ValueError as error:
        sys.exit(f"stand-ins: a variable is not what it must be: {error}")
    asyncio.run(serve(settings))


if __name__ == "__main__":
    main()
