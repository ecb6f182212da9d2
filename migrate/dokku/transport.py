"""Ways to run a Dokku command: OpenSSH or the local program; decides nothing about the commands.

To print commands only, see `migrate.dokku.script` and `apply --dry-run`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from migrate.dokku.argv import DokkuCommand, ssh_line
from shared.errors import OperatorError, PeerError

#: Exit code of ssh itself when there is no connection.
SSH_FAILED = 255
#: Exit code of Dokku for an app that does not exist.
MISSING_APP = 20
#: Sessions at once over one connection; OpenSSH servers allow 10 by default.
PARALLEL = 4
#: Times that a command which only reads is sent again after a lost connection.
READ_RETRIES = 2


@dataclass(frozen=True, slots=True)
class Answer:
    """Exit code and output of one command; the output may hold secrets and is not in repr."""

    exit: int
    stdout: bytes = field(repr=False)
    stderr: bytes = field(repr=False)

    @property
    def text(self) -> str:
        """Standard output as text."""
        return self.stdout.decode("utf-8", "replace")

    @property
    def complaint(self) -> str:
        """What the host said on stderr, without Dokku's decoration."""
        lines = self.stderr.decode("utf-8", "replace").splitlines()
        return "; ".join(line.strip().lstrip("!").strip() for line in lines if line.strip(" !"))


class CommandFailedError(OperatorError):
    """The host refused or failed a command; `exit` is Dokku's code, `complaint` its own words."""

    def __init__(self, command: str, exit_code: int, complaint: str) -> None:
        said = complaint or "the host said nothing"
        super().__init__(
            f"`dokku {command}` failed with exit code {exit_code}: {said}."
            " Mend the cause, then run the same command again; it continues where it stopped"
        )
        self.command = command
        self.exit = exit_code
        self.complaint = complaint


class HostUnreachableError(PeerError):
    """There is no connection to the host."""

    def __init__(self, target: str, complaint: str) -> None:
        super().__init__(
            f"no connection to {target}: {complaint or 'ssh gave no reason'}."
            f" Try `ssh {target} version`, then run the same command again"
        )
        self.target = target


class CommandTimeoutError(PeerError):
    """The host did not finish a command in time; it may still be running there."""

    def __init__(self, command: str, seconds: float) -> None:
        super().__init__(
            f"`dokku {command}` did not finish in {seconds:g} s and may still run on the host;"
            " look with `migrate dokku plan` before running it again"
        )
        self.command = command


class Transport(Protocol):
    """Runs checked commands one at a time or several at once."""

    async def run(self, command: DokkuCommand) -> Answer:
        """Run to the end; any exit code is an Answer. Raises on lost connection and timeout."""
        ...


class Redactor:
    """Takes known secrets out of text that may be shown."""

    def __init__(self, secrets: Sequence[str] = ()) -> None:
        self._secrets = sorted({s for s in secrets if len(s) >= 4}, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "[hidden]")
        return text


async def must(
    transport: Transport, command: DokkuCommand, redact: Callable[[str], str] = str
) -> Answer:
    """Run a command that has to succeed; raises CommandFailedError with the host's own message."""
    answer = await transport.run(command)
    if answer.exit != 0:
        raise CommandFailedError(command.name, answer.exit, redact(answer.complaint))
    return answer


async def execute(
    argv: Sequence[str],
    *,
    stdin: bytes | None,
    timeout_seconds: float,
    name: str,
    env: dict[str, str] | None = None,
    keep_output: bool = True,
) -> Answer:
    """Run a local program to the end; on timeout it and its children are killed.

    With `keep_output` off, a program that goes into the background does not keep the caller waiting.
    """
    output = asyncio.subprocess.PIPE if keep_output else asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.DEVNULL if stdin is None else asyncio.subprocess.PIPE,
        stdout=output,
        stderr=output,
        start_new_session=True,
        env=env,
    )
    try:
        async with asyncio.timeout(timeout_seconds):
            stdout, stderr = await process.communicate(stdin)
    except TimeoutError as error:
        raise CommandTimeoutError(name, timeout_seconds) from error
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    return Answer(process.returncode or 0, stdout or b"", stderr or b"")


class SshTransport:
    """`ssh dokku@host` with one shared connection; use as an async context manager.

    `options` are extra words for ssh, such as `-i key`. Nothing secret is ever among the words.
    """

    def __init__(
        self, host: str, *, user: str = "dokku", port: int = 22, options: Sequence[str] = ()
    ) -> None:
        self.target = f"{user}@{host}"
        self._port = port
        self._options = tuple(options)
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._slots = asyncio.Semaphore(PARALLEL)
        self._opening = asyncio.Lock()
        self._opened = False

    async def __aenter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(
            prefix="mig-", dir="/tmp"
        )  # a socket path is short
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._folder is None:
            return
        if (Path(self._folder.name) / "s").exists():
            with contextlib.suppress(CommandTimeoutError):
                await execute(
                    [*self.ssh(), "-O", "exit", self.target],
                    stdin=None,
                    timeout_seconds=10,
                    name="exit",
                )
        self._folder.cleanup()
        self._folder = None

    def ssh(self) -> list[str]:
        """The ssh program with its options, as a list; also for `git push` (GIT_SSH_COMMAND)."""
        control = [] if self._folder is None else ["-o", f"ControlPath={self._folder.name}/s"]
        return [
            "ssh", "-T", "-p", str(self._port),
            "-o", "BatchMode=yes", "-o", "ConnectTimeout=10",
            "-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=4",
            *control, *self._options,
        ]  # fmt: skip

    async def run(self, command: DokkuCommand) -> Answer:
        line = ssh_line(command.words)
        retries = READ_RETRIES if is_read(command) else 0
        while True:
            await self._open()
            async with self._slots:
                answer = await self._execute([*self.ssh(), self.target, "--", line], command)
            if answer.exit != SSH_FAILED:
                return answer
            self._opened = False
            if retries == 0:
                raise HostUnreachableError(self.target, answer.complaint)
            retries -= 1

    async def _open(self) -> None:
        """Open the shared connection in the background, once; without a folder there is none."""
        async with self._opening:
            if self._opened or self._folder is None:
                return
            log = Path(self._folder.name) / "log"
            argv = [
                *self.ssh(),
                "-M",
                "-N",
                "-f",
                "-o",
                "ControlPersist=120",
                "-E",
                str(log),
                self.target,
            ]
            answer = await execute(
                argv, stdin=None, timeout_seconds=30, name="connect", keep_output=False
            )
            if answer.exit != 0:
                said = log.read_bytes() if log.exists() else b""
                raise HostUnreachableError(self.target, Answer(1, b"", said).complaint)
            self._opened = True

    async def _execute(self, argv: list[str], command: DokkuCommand) -> Answer:
        return await execute(
            argv, stdin=command.stdin, timeout_seconds=command.timeout_seconds, name=command.name
        )


class LocalTransport:
    """The `dokku` program of this machine."""

    def __init__(self, program: Sequence[str] = ("dokku",)) -> None:
        self._program = tuple(program)

    async def run(self, command: DokkuCommand) -> Answer:
        try:
            return await execute(
                [*self._program, *command.words],
                stdin=command.stdin,
                timeout_seconds=command.timeout_seconds,
                name=command.name,
            )
        except FileNotFoundError as error:
            raise HostUnreachableError("this machine", f"{self._program[0]} not found") from error


_READING = ("report", "exists", "list", "linked", "links", "info", "export", "locked", "show")


def is_read(command: DokkuCommand) -> bool:
    """Whether the command changes nothing on the host, so that sending it twice is harmless."""
    verb = command.name.rpartition(":")[2]
    if command.name == "ps:scale":
        return "proc=count" not in command.invocation.args
    return verb in _READING or command.name in {"version", "storage:list-entries"}
