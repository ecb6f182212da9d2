"""Starts the router's process: one worker, or a supervisor with several."""

from __future__ import annotations

import os
import socket
import sys

import uvloop

from router.settings import RouterSettings, environment_settings
from router.supervisor import Supervisor, listen
from router.worker import Worker
from shared.errors import OperatorError
from shared.manifest import Manifest, load_manifest
from shared.observability.logs import configure_logs


def main() -> int:
    """Start the router; the exit code of the process."""
    try:
        manifest = load_manifest(os.getenv("MANIFEST") or "migration.toml")
        settings = environment_settings(manifest)
        configure_logs(settings.log_level, service="router")  # type: ignore[arg-type,unused-ignore]
        number = os.getenv("ROUTER_WORKER")
        if number is None and settings.workers > 1:
            return Supervisor(settings, manifest.router.drain_seconds).run()
        uvloop.run(_run_worker(settings, manifest, int(number or 0)))
    except OperatorError as error:
        print(error.message, file=sys.stderr)
        return 2
    except OSError as error:
        print(
            f"the router cannot listen: {error.strerror}; is it running already?", file=sys.stderr
        )
        return 2
    return 0


async def _run_worker(settings: RouterSettings, manifest: Manifest, number: int) -> None:
    worker = Worker(
        settings,
        manifest,
        number=number,
        listener=_inherited("ROUTER_LISTEN_FD")
        or listen(settings.host, settings.port, shared=True),
        admin_listener=_inherited("ROUTER_ADMIN_FD")
        or listen(settings.admin_host, settings.admin_port, shared=False),
    )
    await worker.run()


def _inherited(variable: str) -> socket.socket | None:
    number = os.getenv(variable)
    return socket.socket(fileno=int(number)) if number else None
