"""People who chat through the router while the tables of chat move: every request and every edit is looked at.

A process of its own: `python -m tests.support.split_chatters URL RATE PEOPLE`. It prints `ready` after everybody has
signed up, talked once, and found a pace that the machine carries; sends requests until its standard input is closed,
and then prints its report as JSON.
"""

from __future__ import annotations

import asyncio
import json
import random
import secrets
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import urlsplit

import uvloop

from migrate.demo.http_client import KeepAliveClient, RequestFailedError
from tests.support.split_lab import REPOSITORY, Workload

#: Requests slower than this are reported with their time, in milliseconds.
SLOW_MS = 50.0
#: The pace is lowered while more than this share of the requests takes longer than LATE_MS: a queue that only grows
#: shows nothing but itself.
LATE_MS, LATE_SHARE = 200.0, 0.1
LOOK_SECONDS, LOWERING, LOWERINGS = 2.0, 0.6, 5
#: Shares of the requests.
MIX = {"edit": 45, "pin": 10, "react": 5, "history": 30, "list": 10}


@dataclass
class Report:
    """`edits`: message -> the last content whose edit was acknowledged. Milliseconds from the intended time.

    `per_second`: requests a second in sum, as wanted or as the machine carries.
    """

    per_second: float
    requests: int = 0
    late: int = 0
    writes: int = 0
    failures: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)  # answers older than what was acknowledged
    edits: dict[str, str] = field(default_factory=dict)
    slowest_ms: float = 0.0
    slow: list[tuple[float, float]] = field(default_factory=list)  # (unix time, ms)


class Person:
    """One account with one conversation, one request at a time."""

    def __init__(self, host: str, port: int, number: int, report: Report) -> None:
        self._http = KeepAliveClient(host, port, source=f"127.2.0.{number % 250 + 1}")
        self._email = f"chatter-{secrets.token_hex(6)}@example.com"
        self._report = report
        self._token = ""
        self._conversation = ""
        self._own = ""
        self._reply = ""
        self._edits = 0

    async def begin(self) -> None:
        """Sign up and say the first words."""
        await self._must("POST", "/api/auth/create-account", {"email": self._email})
        session = await self._must(
            "POST", "/api/auth/verify-otp", {"email": self._email, "code": "000000"}
        )
        self._token = session["access_token"]
        words = {"message": "hello", "character": "Sherlock Holmes"}
        reply = await self._must("POST", "/api/chat/talk_with", words)
        self._conversation = reply["conversation_id"]
        history = await self._must("GET", f"/api/chat/conversations/{self._conversation}/messages")
        by_role = {item["role"]: item["id"] for item in history["items"]}
        self._own, self._reply = by_role["user"], by_role["assistant"]

    async def run(self, share: float, over: asyncio.Event) -> None:
        """Requests at random times, a `share` of all, until `over`."""
        pace = self._report.per_second
        due = time.monotonic() + random.expovariate(pace * share)
        while not over.is_set():
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            await self._one(random.choices(list(MIX), weights=list(MIX.values()))[0], due)
            if pace != self._report.per_second:  # what was due at the old pace is not made up for
                pace, due = self._report.per_second, time.monotonic()
            due += random.expovariate(pace * share)

    async def _one(self, kind: str, due: float) -> None:
        method, target, body = self._request(kind)
        self._report.requests += 1
        self._report.writes += method != "GET"
        try:
            status, answer = await self._send(method, target, body)
        except RequestFailedError as error:
            status, answer = 0, {"error": error.reason}
        waited = (time.monotonic() - due) * 1000.0
        self._report.slowest_ms = max(self._report.slowest_ms, waited)
        self._report.late += waited > LATE_MS
        if waited > SLOW_MS:
            self._report.slow.append((time.time(), round(waited, 1)))
        if status != 200:
            self._report.failures.append(f"{kind}: {status} {answer}"[:300])
            return
        if kind == "edit" and body is not None:
            self._report.edits[self._own] = str(body["content"])
        if kind == "history":
            self._look(answer)

    def _request(self, kind: str) -> tuple[str, str, dict[str, Any] | None]:
        match kind:
            case "edit":
                self._edits += 1
                return (
                    "PATCH",
                    f"/api/chat/messages/{self._own}",
                    {"content": f"edit {self._edits}"},
                )
            case "pin":
                pinned = {"pinned": random.random() < 0.5}
                return "PUT", f"/api/chat/messages/{self._reply}/pin", pinned
            case "react":
                reaction = {"reaction_type": random.choice(("like", "dislike", None))}
                return "PUT", f"/api/chat/messages/{self._reply}/reaction", reaction
            case "history":
                return "GET", f"/api/chat/conversations/{self._conversation}/messages", None
            case _:
                return "GET", "/api/chat/conversations", None

    def _look(self, history: dict[str, Any]) -> None:
        seen = {item["id"]: item["content"] for item in history["items"]}
        expected = self._report.edits.get(self._own)
        if expected is not None and seen.get(self._own) != expected:
            self._report.stale.append(f"{seen.get(self._own)} instead of {expected}")

    async def _must(self, method: str, target: str, body: dict[str, Any] | None = None) -> Any:
        status, answer = await self._send(method, target, body)
        if status not in (200, 201):
            raise RuntimeError(f"{method} {target} answered {status}: {answer}")
        return answer

    async def _send(self, method: str, target: str, body: dict[str, Any] | None) -> tuple[int, Any]:
        headers = {"accept": "application/json"}
        if self._token:
            headers["authorization"] = f"Bearer {self._token}"
        data = b""
        if body is not None:
            headers["content-type"] = "application/json"
            data = json.dumps(body).encode()
        answer = await self._http.request(method, target, headers, data)
        return answer.status, json.loads(answer.body or b"{}")


async def chat(url: str, rate: float, people: int) -> None:
    parts = urlsplit(url)
    report = Report(rate)
    persons = [
        Person(parts.hostname or "127.0.0.1", parts.port or 80, number, report)
        for number in range(people)
    ]
    gate = asyncio.Semaphore(4)

    async def begin(person: Person) -> None:
        async with gate:
            await person.begin()

    await asyncio.gather(*(begin(person) for person in persons))
    over = asyncio.Event()
    jobs = [asyncio.create_task(person.run(1 / people, over)) for person in persons]
    await _find_pace(report)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    over.set()
    await asyncio.gather(*jobs)
    sys.stdout.write(json.dumps(asdict(report)))
    sys.stdout.flush()


async def _find_pace(report: Report) -> None:
    """Lower the pace until the machine carries it; then forget what was seen, but not what was written."""
    for _ in range(LOWERINGS):
        report.requests = report.late = 0
        await asyncio.sleep(LOOK_SECONDS)
        if report.requests and report.late <= report.requests * LATE_SHARE:
            break
        report.per_second *= LOWERING
    report.requests = report.writes = report.late = 0
    report.slowest_ms = 0.0
    report.slow.clear()


@asynccontextmanager
async def chatters(url: str, *, rate: float, people: int) -> AsyncIterator[Workload]:
    """The process, from the moment when everybody has begun until the block ends."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.split_chatters", url, str(rate), str(people),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=REPOSITORY, limit=1 << 28,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            line = await process.stdout.readline()
        assert line == b"ready\n", "nobody could begin to chat; see the messages above"
        yield Workload(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


if __name__ == "__main__":
    uvloop.run(chat(sys.argv[1], float(sys.argv[2]), int(sys.argv[3])))
