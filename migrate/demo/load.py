"""The load as a process of its own: `python -m migrate.demo.load URL RATE CLIENTS SEED [PREFIXES]`.

With PREFIXES such as `content.,auth.me` only routes whose names begin so are asked for.

It writes one JSON line per event (`measurements.Line`) and ends when its standard input is closed. A number
on a line of its own there is a new RATE.
"""

from __future__ import annotations

import asyncio
import secrets
import sys
import time
from collections.abc import Callable
from random import Random
from urllib.parse import urlsplit

import uvloop

from migrate.demo.client import Pace, SignUpError, SimulatedClient
from migrate.demo.http_client import RequestFailedError
from migrate.demo.measurements import Line
from migrate.demo.tally import Tally
from migrate.demo.workload import Vocabulary, mix_of

SAMPLE_SECONDS = 0.25
SIGN_UPS_AT_ONCE = 4
# After the end of the load, running requests may take this long; the client's own limit is lower.
LAST_ANSWERS_SECONDS = 20.0


async def run(url: str, rate: float, count: int, seed: int, prefixes: str) -> None:
    """Sign up, ask for the vocabulary, send `rate` requests a second in sum until stdin is closed."""
    parts = urlsplit(url)
    host, port = parts.hostname or "127.0.0.1", parts.port or 80
    run_id, tally, random = secrets.token_hex(3), Tally(), Random(seed)  # noqa: S311 - the same load for the same seed
    clients = [
        SimulatedClient(number, run_id, host, port, tally, Random(random.random()))  # noqa: S311
        for number in range(count)
    ]
    await _sign_up(clients)
    words = await ask_vocabulary(clients[0])
    emit(Line(ready=count))
    over, pace = asyncio.Event(), Pace(rate / count)
    orders = Orders(over, lambda wanted: pace.change(wanted / count))
    await asyncio.get_running_loop().connect_read_pipe(lambda: orders, sys.stdin)
    tally = _restart(clients)
    reporter = asyncio.create_task(_report(tally))
    tasks = [
        asyncio.create_task(client.run(words, mix_of(prefixes), pace, over)) for client in clients
    ]
    try:
        await _until_over(tasks, over)
    finally:
        reporter.cancel()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    emit(Line(result=tally.result(count, sum(client.close() for client in clients))))


async def _until_over(tasks: list[asyncio.Task[None]], over: asyncio.Event) -> None:
    """Wait for the end of the load and its last answers; a client that breaks ends it at once."""
    end = asyncio.create_task(over.wait())
    try:
        await asyncio.wait([end, *tasks], return_when=asyncio.FIRST_EXCEPTION)
    finally:
        end.cancel()
    if over.is_set():
        await asyncio.wait(tasks, timeout=LAST_ANSWERS_SECONDS)
    for task in tasks:
        if task.done() and (error := task.exception()) is not None:
            raise error


def _restart(clients: list[SimulatedClient]) -> Tally:
    """A tally whose clock starts with the load."""
    tally = Tally()
    for client in clients:
        client.tally = tally
    return tally


async def _sign_up(clients: list[SimulatedClient]) -> None:
    gate = asyncio.Semaphore(SIGN_UPS_AT_ONCE)

    async def one(client: SimulatedClient) -> None:
        async with gate:
            await client.sign_up()

    await asyncio.gather(*(one(client) for client in clients))


async def ask_vocabulary(client: SimulatedClient) -> Vocabulary:
    """Titles, people and characters that the catalogue has."""
    found = {
        kind: (await client.get_json(f"/api/resources/{kind}?limit=100"))["items"]
        for kind in ("movies", "characters", "actors")
    }
    names = [str(row["title"]) for row in found["movies"]]
    names += [str(row["name"]) for kind in ("characters", "actors") for row in found[kind]]
    return Vocabulary(found["movies"], found["characters"], found["actors"], names)


async def _report(tally: Tally) -> None:
    while True:
        emit(Line(sample=tally.sample()))
        await asyncio.sleep(SAMPLE_SECONDS)


def emit(line: Line) -> None:
    sys.stdout.write(line.model_dump_json(exclude_none=True) + "\n")
    sys.stdout.flush()


class Orders(asyncio.Protocol):
    """The parent's pipe: numbers are rates, its end is the end, also when the parent was killed."""

    def __init__(self, over: asyncio.Event, change_rate: Callable[[float], None]) -> None:
        self._over = over
        self._change_rate = change_rate
        self._text = ""

    def data_received(self, data: bytes) -> None:
        *lines, self._text = (self._text + data.decode()).split("\n")
        for line in lines:
            self._change_rate(float(line))

    def connection_lost(self, _error: Exception | None) -> None:
        self._over.set()


def main(arguments: list[str]) -> int:
    url, rate, clients, seed = arguments[:4]
    prefixes = arguments[4] if len(arguments) > 4 else ""
    started = time.monotonic()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run(url, float(rate), int(clients), int(seed), prefixes))
    except (SignUpError, RequestFailedError) as error:
        print(
            f"the load could not start after {time.monotonic() - started:.1f} s: {error}",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
