"""Starts the router's process: one worker, or a supervisor with several."""

from __future__ import annotations

import os
import resource
import socket
import sys
from dataclasses import replace

import uvloop

from router.settings import RouterSettings, environment_settings
from router.supervisor import Supervisor, listen
from router.worker import Worker
from shared.errors import OperatorError
from shared.manifest import Manifest, load_manifest
from shared.observability.logs import configure_logs

#: Open files beside the connections: logs, control store, Redis, admin port, libraries.
_OTHER_FILES = 256


def main() -> int:
    """Start the router; the exit code of the process."""
    try:
        manifest = load_manifest(os.getenv("MANIFEST") or "migration.toml")
        settings = environment_settings(manifest)
        configure_logs(settings.log_level, service="router")  # type: ignore[arg-type,unused-ignore]
        settings = replace(settings, max_clients=min(settings.max_clients, _clients_by_files()))
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


def _clients_by_files() -> int:
    """How many clients the open files of this process are enough for; asks for all that it may have.

    A client may need a connection to an app beside its own.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return 1_000_000 if hard == resource.RLIM_INFINITY else max((hard - _OTHER_FILES) // 2, 1)


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
