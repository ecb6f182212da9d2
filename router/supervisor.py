"""Keeps the workers of one router running: starts, replaces and stops them; serves nothing itself.

Every worker has a listening socket of its own on the shared port (SO_REUSEPORT), and the supervisor keeps
it open: connections that wait in the queue of a crashed worker are taken over by its successor.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field

import structlog

from router.settings import RouterSettings

#: Pause before a crashed worker is started again, in seconds; doubled up to the cap while it crashes
#: within STABLE_SECONDS.
FIRST_PAUSE_SECONDS = 0.1
MAX_PAUSE_SECONDS = 5.0
STABLE_SECONDS = 10.0
#: Time beyond the drain after which a worker is killed, in seconds.
KILL_MARGIN_SECONDS = 5.0
_TICK_SECONDS = 0.1

log = structlog.get_logger("router.supervisor")


@dataclass(slots=True)
class _Slot:
    """One worker's place: its sockets stay while processes come and go."""

    number: int
    name: str
    public: socket.socket
    admin: socket.socket
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    restart_at: float = 0.0
    pause: float = FIRST_PAUSE_SECONDS
    crashes: int = field(default=0)


def listen(host: str, port: int, *, shared: bool) -> socket.socket:
    """A bound socket; `shared` lets several processes listen on the port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    # Accepted sockets inherit these: a client that vanished without a word is noticed in two minutes.
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4)
    made.bind((host, port))
    made.set_inheritable(True)
    return made


class Supervisor:
    """Runs `settings.workers` workers until SIGTERM or SIGINT."""

    def __init__(self, settings: RouterSettings, drain_seconds: float) -> None:
        self._drain_seconds = drain_seconds
        self._stopping = False
        self._slots = [
            _Slot(
                number,
                settings.worker_name(number),
                listen(settings.host, settings.port, shared=True),
                listen(settings.admin_host, settings.admin_port + number, shared=False),
            )
            for number in range(settings.workers)
        ]

    def run(self) -> int:
        """Supervise until told to stop; the exit code of the router."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        for slot in self._slots:
            self._start(slot)
        while not self._stopping:
            time.sleep(_TICK_SECONDS)
            for slot in self._slots:
                self._watch(slot)
        return self._shut_down()

    def _start(self, slot: _Slot) -> None:
        environment = dict(
            os.environ,
            ROUTER_WORKER=str(slot.number),
            ROUTER_LISTEN_FD=str(slot.public.fileno()),
            ROUTER_ADMIN_FD=str(slot.admin.fileno()),
            ROUTER_SUPERVISOR=str(os.getpid()),
        )
        slot.process = subprocess.Popen(
            [sys.executable, "-m", "router"],
            env=environment,
            pass_fds=(slot.public.fileno(), slot.admin.fileno()),
        )
        slot.started_at = time.monotonic()

    def _watch(self, slot: _Slot) -> None:
        now = time.monotonic()
        if slot.process is None:
            if now >= slot.restart_at:
                self._start(slot)
            return
        code = slot.process.poll()
        if code is None:
            return
        slot.process = None
        slot.crashes += 1
        if now - slot.started_at > STABLE_SECONDS:
            slot.pause = FIRST_PAUSE_SECONDS
        slot.restart_at = now + slot.pause
        log.error(
            "worker_crashed",
            worker=slot.name,
            exit=_exit_name(code),
            crashes=slot.crashes,
            restart_in_seconds=slot.pause,
        )
        slot.pause = min(slot.pause * 2, MAX_PAUSE_SECONDS)

    def _stop(self, _number: int, _frame: object) -> None:
        """A second signal changes nothing: Dokku sends one while the drain runs."""
        self._stopping = True

    def _shut_down(self) -> int:
        for slot in self._slots:
            slot.public.close()
            if slot.process is not None and slot.process.poll() is None:
                slot.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + self._drain_seconds + KILL_MARGIN_SECONDS
        clean = True
        for slot in self._slots:
            if slot.process is None:
                continue
            try:
                clean &= slot.process.wait(max(deadline - time.monotonic(), 0.1)) == 0
            except subprocess.TimeoutExpired:
                log.exception("worker_killed", worker=slot.name)
                slot.process.kill()
                slot.process.wait()
                clean = False
        return 0 if clean else 1


def _exit_name(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit {code}"
