"""Runs an app under uvicorn until SIGTERM, and lets its requests finish; knows no route."""

from __future__ import annotations

import signal
import socket
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import TypeVar

import uvicorn
from fastapi import FastAPI

from shared.errors import OperatorError
from shared.observability.logs import configure_logs
from shared.observability.sentry import start_sentry
from shared.settings import AppSettings, load_settings

S = TypeVar("S", bound=AppSettings)

KEEP_ALIVE_SECONDS = (
    75  # longer than the router keeps an idle connection, so the router closes first
)


class DrainingServer(uvicorn.Server):
    """On SIGTERM: not ready at once, then a moment for the router to see it, then no new requests.

    A second SIGTERM (Dokku sends one) changes nothing; a second SIGINT (Ctrl+C) ends at once.
    """

    def __init__(self, config: uvicorn.Config, app: FastAPI, lead_seconds: float) -> None:
        super().__init__(config)
        self._app = app
        self._lead_seconds = lead_seconds
        self._draining_since: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._draining_since is None:
            self._draining_since = time.monotonic()
        elif sig == signal.SIGINT:
            self.should_exit = self.force_exit = True

    async def on_tick(self, counter: int) -> bool:
        """Called by uvicorn ten times a second; True ends the main loop."""
        if self._draining_since is not None:
            self._app.state.health.begin_drain()
            if time.monotonic() - self._draining_since >= self._lead_seconds:
                return True
        return await super().on_tick(counter)


def server_config(app: FastAPI, settings: AppSettings) -> uvicorn.Config:
    """uvicorn as every app runs it: no Server header, no access log of its own, bounded stop."""
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http="httptools",
        ws="websockets-sansio",
        ws_max_size=64 * 1024,  # frames above 16 KiB are refused by the endpoint with 1009
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,  # the address of the client is X-Real-IP, which only the router sets
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=int(settings.drain_seconds),
    )


def serve(app: FastAPI, settings: AppSettings, sockets: list[socket.socket] | None = None) -> None:
    """Serve until SIGTERM or SIGINT; returns after the drain."""
    configure_logs(settings.log_level, service=app.title)
    start_sentry(settings, service=app.title)
    server = DrainingServer(server_config(app, settings), app, settings.drain_lead_seconds)
    server.run(sockets=sockets)


def run_service(kind: type[S], build: Callable[[S], FastAPI], *, port: int) -> int:
    """Read the settings, build the app and serve it; 2 when settings or manifest cannot be used.

    `port` is the one of local runs: the variable PORT, when it is not empty, wins.
    """
    try:
        settings = load_settings(kind, port=port)
        app = build(settings)
    except OperatorError as error:
        sys.stderr.write(f"{error.message}\n")
        return 2
    serve(app, settings)
    return 0
