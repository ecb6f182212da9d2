"""The supervisor process: obeys requests on its socket, keeps its record file true, ends with its owner."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import defaultdict
from collections.abc import Coroutine, Iterable
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from migrate.stack.env_file import write_private
from migrate.stack.process import ProcessSpec, ProcessState
from migrate.stack.process_tree import ProcessIdentity, adopt_orphans, identify, is_alive
from migrate.stack.supervisor.children import Child, spawn
from migrate.stack.supervisor.orphans import bury_dead, clear_orphans
from migrate.stack.supervisor.protocol import (
    REQUEST,
    Answer,
    Await,
    ListProcesses,
    Request,
    Shutdown,
    Signal,
    Start,
    Stop,
    SupervisorRecord,
)

OWNER_POLL_SECONDS = 0.5
MAX_REQUEST_BYTES = 1 << 20
AWAIT_SECONDS = 60.0


class Supervisor:
    """Children by name, in the order of starting."""

    def __init__(self, record_path: Path, socket_path: Path, owner: ProcessIdentity | None) -> None:
        self._record_path = record_path
        self._socket_path = socket_path
        self._owner = owner
        self._children: dict[str, Child] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_over = asyncio.Event()
        self._starting = asyncio.Lock()
        self._one_at_a_time: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def run(self) -> None:
        """Serve until a shutdown request, SIGTERM, or the end of the owner; then leave nothing behind."""
        adopt_orphans()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._is_over.set)
        server = await asyncio.start_unix_server(
            self._serve, path=str(self._socket_path), limit=MAX_REQUEST_BYTES
        )
        self._socket_path.chmod(0o600)
        self._write_record()
        owner_watch = asyncio.create_task(self._end_with_owner())
        try:
            await self._is_over.wait()
        finally:
            owner_watch.cancel()
            server.close()
            await self._stop_all()
            self._record_path.unlink(missing_ok=True)
            self._socket_path.unlink(missing_ok=True)

    async def _end_with_owner(self) -> None:
        """Watch the owner; and bury adopted processes that ended while those they belong to go on."""
        while True:
            await asyncio.sleep(OWNER_POLL_SECONDS)
            async with self._starting:
                bury_dead(self._leaders())
            if self._owner is not None and not is_alive(self._owner):
                self._is_over.set()
                return

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = await reader.readline()
            answer = await self._answer(line)
            writer.write(answer.model_dump_json().encode() + b"\n")
            with suppress(ConnectionError):
                await writer.drain()
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> Answer:
        try:
            request = REQUEST.validate_json(line)
            await self._obey(request)
        except (ValidationError, OSError, KeyError, TimeoutError) as error:
            return Answer(error=f"{type(error).__name__}: {error}", processes=self._states())
        return Answer(processes=self._states())

    async def _obey(self, request: Request) -> None:
        match request:
            case Start(spec=spec):
                async with self._one_at_a_time[spec.name]:
                    await self._start(spec)
            case Stop(name=name):
                async with self._one_at_a_time[name]:
                    await self._stop([name])
            case Signal(name=name, signal=signal_name):
                self._children[name].signal(signal.Signals[signal_name])
            case Await(name=name):
                await asyncio.wait_for(self._children[name].ended.wait(), AWAIT_SECONDS)
            case Shutdown():
                await self._stop_all()
                self._is_over.set()
            case ListProcesses():
                pass

    async def _start(self, spec: ProcessSpec) -> None:
        known = self._children.get(spec.name)
        if known is not None and known.state.is_running:
            return
        async with self._starting:
            child = await spawn(spec)
            self._children.pop(spec.name, None)
            self._children[spec.name] = child
        self._keep(child.watch(self._ended))
        self._write_record()

    def _keep(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _ended(self) -> None:
        self._write_record()
        self._keep(clear_orphans(self._leaders, self._starting))

    async def _stop(self, names: Iterable[str]) -> None:
        """Stop these at the same time; an unknown name is stopped already."""
        children = [self._children[name] for name in names if name in self._children]
        results = await asyncio.gather(
            *(child.stop() for child in children), return_exceptions=True
        )
        await clear_orphans(self._leaders, self._starting)
        self._write_record()
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _stop_all(self) -> None:
        """The highest layer first, so that a client never loses its server."""
        layers = sorted({child.spec.layer for child in self._children.values()}, reverse=True)
        for layer in layers:
            with suppress(TimeoutError):
                await self._stop(
                    [n for n, child in self._children.items() if child.spec.layer == layer]
                )

    def _leaders(self) -> set[int]:
        return {child.process.pid for child in self._children.values() if child.state.is_running}

    def _states(self) -> tuple[ProcessState, ...]:
        return tuple(child.state for child in self._children.values())

    def _write_record(self) -> None:
        own = identify(os.getpid())
        record = SupervisorRecord(
            pid=os.getpid(),
            start_ticks=own.start_ticks if own else 0,
            socket=str(self._socket_path),
            processes=self._states(),
        )
        write_private(self._record_path, record.model_dump_json(indent=2))
