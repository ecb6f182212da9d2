"""Runs other commands of the toolkit: here, or in a one-off container beside the databases.

Flags, splits and cutovers need the databases, which a laptop often cannot reach; the operator app can.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from migrate.dokku.argv import command
from migrate.dokku.transport import Answer, Transport, execute
from shared.errors import OperatorError

#: Longest wait for a command that only reads, in seconds.
QUERY_SECONDS = 120.0
#: Longest wait for a split or a cutover, in seconds; also the life of a one-off container.
ACTION_SECONDS = 86_000.0


class CommandRefusedError(OperatorError):
    """Another command of the toolkit ended with an error; its own words are in the message."""

    def __init__(self, words: Sequence[str], code: int, said: str) -> None:
        line = " ".join(words)
        super().__init__(
            f"`migrate {line}` ended with exit code {code}: {said or 'it said nothing'}."
            " Mend the cause, then start the phase again; it continues there"
        )
        self.words = tuple(words)
        self.code = code


class CommandLine(Protocol):
    """The toolkit's own command."""

    async def run(self, words: Sequence[str], *, timeout_seconds: float) -> Answer:
        """Run `migrate WORDS…` to its end."""
        ...


@dataclass(frozen=True)
class LocalCommands:
    """In a process of this machine, with this environment."""

    manifest: Path
    stack: Path
    environment: Mapping[str, str] | None = None

    async def run(self, words: Sequence[str], *, timeout_seconds: float) -> Answer:
        env = {**os.environ, **(self.environment or {})}
        files = ["--manifest", str(self.manifest), "--stack", str(self.stack)]
        return await execute(
            [sys.executable, "-m", "migrate.cli", *files, *words],
            stdin=None, timeout_seconds=timeout_seconds, name=f"migrate {words[0]}", env=env,
        )  # fmt: skip


@dataclass(frozen=True)
class OperatorCommands:
    """In a one-off container of the operator app on the host."""

    transport: Transport
    app: str

    async def run(self, words: Sequence[str], *, timeout_seconds: float) -> Answer:
        return await self.transport.run(
            command(
                "run", "--no-tty", self.app, "python", "-m", "migrate.cli", *words,
                timeout_seconds=timeout_seconds,
            )
        )  # fmt: skip


async def act(line: CommandLine, words: Sequence[str], say: Callable[[str], None]) -> None:
    """Run a command that changes something; its output is passed on line by line."""
    answer = await line.run(words, timeout_seconds=ACTION_SECONDS)
    for text in answer.text.splitlines():
        say(f"    {text}")
    if answer.exit != 0:
        raise CommandRefusedError(words, answer.exit, answer.complaint)


async def query(line: CommandLine, words: Sequence[str]) -> Any:
    """Run a command with `--json` and give its answer."""
    answer = await line.run([*words, "--json"], timeout_seconds=QUERY_SECONDS)
    if answer.exit != 0:
        raise CommandRefusedError(words, answer.exit, answer.complaint)
    start = min((answer.text.find(c) for c in "[{" if c in answer.text), default=-1)
    if start < 0:
        raise CommandRefusedError(words, answer.exit, "its answer is not JSON")
    return json.loads(answer.text[start:])
