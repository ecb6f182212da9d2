"""How commands reach a supervisor, start one, and clean up after one that was killed."""

from __future__ import annotations

import asyncio
import signal
import sys
import tempfile
from pathlib import Path

from migrate.stack.errors import StackError, SupervisorUnreachableError
from migrate.stack.lock import exclusive
from migrate.stack.process import ProcessSpec, ProcessState
from migrate.stack.process_tree import ProcessIdentity, is_alive, signal_tree
from migrate.stack.supervisor.protocol import (
    Answer,
    Await,
    ListProcesses,
    Request,
    Shutdown,
    Signal,
    SignalName,
    Start,
    Stop,
    SupervisorRecord,
)

REPOSITORY = Path(__file__).resolve().parents[3]
# sockaddr_un.sun_path holds 108 bytes with the final zero (unix(7)).
MAX_SOCKET_PATH_BYTES = 100
START_SECONDS = 15.0
# The longest stop time of a process, its kill and its orphans, for three layers.
ANSWER_SECONDS = 90.0
POLL_SECONDS = 0.02


class SupervisorClient:
    """Talks to the supervisor of one directory; every call opens a connection of its own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @property
    def record_path(self) -> Path:
        return self._directory / "supervisor.json"

    def read_record(self) -> SupervisorRecord | None:
        """The record file, also when its supervisor is dead; None when there is none."""
        try:
            return SupervisorRecord.model_validate_json(self.record_path.read_bytes())
        except FileNotFoundError:
            return None

    def is_alive(self) -> bool:
        record = self.read_record()
        return record is not None and is_alive(ProcessIdentity(record.pid, record.start_ticks))

    async def ensure(self, owner_pid: int | None = None) -> None:
        """Start the supervisor unless it runs; with an owner it ends, with all it runs, when the owner does."""
        async with exclusive(self._directory / "supervisor.lock", START_SECONDS):
            if not self.is_alive():
                self.clear_leftovers()
                await self._launch(owner_pid)

    async def _launch(self, owner_pid: int | None) -> None:
        command = [sys.executable, "-m", "migrate.stack.supervisor"]
        command += [str(self.record_path), str(self._socket_path())]
        command += [str(owner_pid)] if owner_pid is not None else []
        with (self._directory / "supervisor.log").open("ab") as log:
            launcher = await asyncio.create_subprocess_exec(
                *command,
                cwd=REPOSITORY,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        is_launched = await launcher.wait() == 0  # it forks the supervisor and ends
        deadline = asyncio.get_running_loop().time() + START_SECONDS
        while not self.is_alive():
            if not is_launched or asyncio.get_running_loop().time() > deadline:
                raise StackError(
                    f"the supervisor of {self._directory} did not start",
                    hint=f"its log: {self._directory / 'supervisor.log'}",
                )
            await asyncio.sleep(POLL_SECONDS)

    def _socket_path(self) -> Path:
        path = self._directory / "supervisor.sock"
        if len(str(path).encode()) <= MAX_SOCKET_PATH_BYTES:
            path.unlink(missing_ok=True)
            return path
        return Path(tempfile.mkdtemp(prefix="strangler-")) / "supervisor.sock"

    def clear_leftovers(self) -> None:
        """Kill what a dead supervisor left running, and remove its record."""
        record = self.read_record()
        if record is None:
            return
        for state in record.processes:
            if is_alive(ProcessIdentity(state.pid, state.start_ticks)):
                signal_tree(state.pid, signal.SIGKILL)
        self.record_path.unlink(missing_ok=True)

    async def start(self, spec: ProcessSpec) -> ProcessState:
        answer = await self._call(Start(spec=spec))
        return next(state for state in answer.processes if state.name == spec.name)

    async def stop(self, name: str) -> None:
        await self._call(Stop(name=name))

    async def signal(self, name: str, signal_name: SignalName) -> None:
        await self._call(Signal(name=name, signal=signal_name))

    async def wait_until_ended(self, name: str) -> None:
        """Return when the process does not run any more; bounded by the time of an answer."""
        await self._call(Await(name=name))

    async def processes(self) -> tuple[ProcessState, ...]:
        """All processes ever started in this life of the supervisor; none when it does not run."""
        if not self.is_alive():
            return ()
        return (await self._call(ListProcesses())).processes

    async def shut_down(self) -> None:
        """Stop everything and the supervisor itself; also cleans up after a dead one."""
        record = self.read_record()
        if record is None or not self.is_alive():
            self.clear_leftovers()
            return
        await self._call(Shutdown())
        deadline = asyncio.get_running_loop().time() + START_SECONDS
        while is_alive(ProcessIdentity(record.pid, record.start_ticks)):
            if asyncio.get_running_loop().time() > deadline:
                raise StackError(
                    f"the supervisor (pid {record.pid}) did not end", hint=f"kill {record.pid}"
                )
            await asyncio.sleep(POLL_SECONDS)
        socket_home = Path(record.socket).parent
        if socket_home != self._directory:
            socket_home.rmdir()

    async def _call(self, request: Request) -> Answer:
        record = self.read_record()
        if record is None:
            raise SupervisorUnreachableError(
                f"nothing runs in {self._directory}", hint="start it: migrate up"
            )
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                reader, writer = await asyncio.open_unix_connection(record.socket, limit=1 << 22)
                try:
                    writer.write(request.model_dump_json().encode() + b"\n")
                    line = await reader.readline()
                finally:
                    writer.close()
        except (OSError, TimeoutError) as error:
            raise SupervisorUnreachableError(
                f"the supervisor of {self._directory} does not answer: {error}",
                hint="stop what is left and start again: migrate down && migrate up",
            ) from error
        answer = Answer.model_validate_json(line)
        if answer.error is not None:
            raise StackError(f"{request.command} failed: {answer.error}")
        return answer
