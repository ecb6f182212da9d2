"""`python -m monolith`: the web process."""

from __future__ import annotations

import sys

import uvicorn

from monolith.app import build_app, context_of
from monolith.context import Context
from monolith.logs import start_logging, start_sentry
from monolith.settings import SettingsError, settings_from_environment
from monolith.shutdown import announce_shutdown

GRACE_SECONDS = 55  # replies may run 50 s after SIGTERM (contract, 1.12)
FRAME_BYTES_MAX = 16 * 1024  # larger WebSocket frames close with 1009 (contract, 1.14)


class Server(uvicorn.Server):
    """Tells the domains about the end before it waits for open answers."""

    def __init__(self, config: uvicorn.Config, context: Context) -> None:
        super().__init__(config)
        self.context = context

    async def shutdown(self, sockets: list | None = None) -> None:  # type: ignore[type-arg]
        await announce_shutdown(self.context)
        await super().shutdown(sockets)


def main() -> int:
    try:
        settings = settings_from_environment()
    except SettingsError as error:
        sys.stderr.write(f"cannot start: {error}\n")
        return 2
    start_logging(settings.log_level)
    start_sentry(settings.sentry_dsn, settings.version)
    app = build_app(settings)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
        ws_max_size=FRAME_BYTES_MAX,
        ws_per_message_deflate=False,
    )
    Server(config, context_of(app)).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
