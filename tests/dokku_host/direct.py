"""A transport straight into a fake host, for tests that are not about ssh."""

from __future__ import annotations

import asyncio

from migrate.dokku.argv import DokkuCommand, ssh_line
from migrate.dokku.transport import Answer, HostUnreachableError
from tests.dokku_host.host import FakeHost


class DirectTransport:
    """Every command still passes the rules of the ssh line."""

    def __init__(self, host: FakeHost) -> None:
        self.host = host

    async def run(self, command: DokkuCommand) -> Answer:
        ssh_line(command.words)
        result = await asyncio.to_thread(self.host.execute, command.words, command.stdin or b"")
        if result.exit == 255:
            raise HostUnreachableError("the fake host", result.stderr.decode())
        return Answer(result.exit, result.stdout, result.stderr)
