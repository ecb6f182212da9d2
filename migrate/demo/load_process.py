"""The load process as its parent sees it: started, read line by line, ended by closing its input."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from migrate.demo.measurements import Line, LoadResult, Sample
from migrate.stack.errors import StackError
from migrate.stack.layout import REPOSITORY

READY_SECONDS = 60.0
RESULT_SECONDS = 40.0
LINE_BYTES = 1 << 20
POLL_SECONDS = 0.02


class LoadProcess:
    """Running totals of the load as `samples`, in the order of time."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.samples: list[Sample] = []
        self._process = process
        self._ready = asyncio.get_running_loop().create_future()
        self._result: LoadResult | None = None
        self._reader = asyncio.create_task(self._read())

    @property
    def latest(self) -> Sample:
        return self.samples[-1] if self.samples else _NOTHING

    async def wait_until_ready(self) -> int:
        """How many clients have signed up; raises StackError when the load cannot start."""
        async with asyncio.timeout(READY_SECONDS):
            clients: int = await asyncio.shield(self._ready)
        return clients

    def change_rate(self, per_second: float) -> None:
        """Go on with another number of requests a second in sum."""
        if self._process.stdin is not None:
            self._process.stdin.write(f"{per_second}\n".encode())

    def check(self) -> None:
        """Raise StackError when the load has ended by itself."""
        if self._reader.done():
            raise StackError("the load ended by itself; see the messages above")

    async def next_sample(self) -> Sample:
        """The next running totals; raises StackError when there will be none."""
        seen = len(self.samples)
        async with asyncio.timeout(RESULT_SECONDS):
            while len(self.samples) == seen:
                self.check()
                await asyncio.sleep(POLL_SECONDS)
        return self.latest

    async def finish(self) -> LoadResult:
        """End the load, wait for the last answers and return the totals."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        async with asyncio.timeout(RESULT_SECONDS):
            await self._reader
        if self._result is None:
            raise StackError("the load ended without a result; see the messages above")
        return self._result

    async def _read(self) -> None:
        stdout = self._process.stdout
        while stdout is not None and (text := await stdout.readline()):
            line = Line.model_validate_json(text)
            if line.ready is not None:
                self._ready.set_result(line.ready)
            if line.sample is not None:
                self.samples.append(line.sample)
            if line.result is not None:
                self._result = line.result
        code = await self._process.wait()
        if not self._ready.done():
            self._ready.set_exception(
                StackError(f"the load could not start (exit code {code})", hint="migrate logs")
            )

    async def kill(self) -> None:
        """End it at once when it still runs."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.kill()
        with suppress(Exception):
            await self._reader
        if self._ready.done():
            self._ready.exception()  # seen


_NOTHING = Sample(at=0.0, sent=0, answered=0, failed=0, in_flight=0)


@asynccontextmanager
async def running_load(
    url: str, *, rate: float, clients: int, seed: int = 1, prefixes: str = ""
) -> AsyncIterator[LoadProcess]:
    """A load of `rate` requests a second in sum, by `clients` clients; gone when the block ends.

    `prefixes` restricts it to routes whose names begin so, e.g. `content.,auth.me`.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "migrate.demo.load",
        url,
        str(rate),
        str(clients),
        str(seed),
        prefixes,
        cwd=REPOSITORY,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=LINE_BYTES,
        start_new_session=True,  # Ctrl-C is for the command; the load ends when its input does
    )
    load = LoadProcess(process)
    try:
        yield load
    finally:
        await load.kill()
