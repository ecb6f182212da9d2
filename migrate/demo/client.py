"""One simulated client: signs up, then sends requests at its own random times and checks every answer."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from migrate.demo.http_client import Answer, KeepAliveClient, RequestFailedError
from migrate.demo.tally import Tally
from migrate.demo.workload import Call, Vocabulary, draw_route, fault_of, make_call

JSON_BODY = {"content-type": "application/json"}
# The code that the reference mail provider sends (contract, section 7).
REFERENCE_CODE = "000000"


class SignUpError(Exception):
    """A client could not get an account; the message has route and answer."""


@dataclass(slots=True)
class Pace:
    """Requests a second of one client; `epoch` grows with every change."""

    per_client: float
    epoch: int = 0

    def change(self, per_client: float) -> None:
        self.per_client = per_client
        self.epoch += 1


class SimulatedClient:
    """A person with an account, an address and a connection of their own."""

    def __init__(
        self, number: int, run: str, host: str, port: int, tally: Tally, random: Random
    ) -> None:
        # Every client has an address of its own, as on the Internet: 127.0.0.0/8 is all loopback.
        self._http = KeepAliveClient(host, port, source=f"127.1.{number // 250}.{number % 250 + 1}")
        self._email = f"demo-{run}-{number}@example.com"
        self._number = number
        self._run = run
        self.tally = tally
        self._random = random
        self._access_token = ""
        self._refresh_token = ""
        self._counter = 0

    async def sign_up(self) -> None:
        """Create an account with an e-mail code and keep its tokens; raises SignUpError."""
        created = await self._post("/api/auth/create-account", {"email": self._email})
        if created.status != 201:
            raise SignUpError(
                f"auth.create_account answered {created.status}: {created.body[:300]!r}"
            )
        code = {"email": self._email, "code": REFERENCE_CODE}
        verified = await self._post("/api/auth/verify-otp", code)
        if verified.status != 200:
            raise SignUpError(
                f"auth.verify_otp answered {verified.status}: {verified.body[:300]!r}"
            )
        self._keep_tokens(verified.body)

    async def get_json(self, target: str) -> dict[str, list[dict[str, object]]]:
        """A public GET outside the measured load."""
        answer = await self._http.request("GET", target, {})
        if answer.status != 200:
            raise SignUpError(f"GET {target} answered {answer.status}: {answer.body[:300]!r}")
        data: dict[str, list[dict[str, object]]] = json.loads(answer.body)
        return data

    async def run(
        self, words: Vocabulary, mix: Mapping[str, int], pace: Pace, over: asyncio.Event
    ) -> None:
        """Send requests at Poisson times until `over`; latency counts from the intended time."""
        due = time.monotonic() + self._random.expovariate(pace.per_client)
        epoch = pace.epoch
        while not over.is_set():
            pause = due - time.monotonic()
            if pause > 0:
                try:
                    await asyncio.wait_for(over.wait(), pause)
                except TimeoutError:
                    pass
                else:
                    return
            call = make_call(
                draw_route(mix, self._random), words, self._random, self._refresh_token
            )
            await self._send(call, due)
            if pace.epoch != epoch:  # what was due at the old pace is not made up for
                epoch, due = pace.epoch, time.monotonic()
            due += self._random.expovariate(pace.per_client)

    async def _send(self, call: Call, due: float) -> None:
        self._counter += 1
        request_id = f"demo-{self._run}-{self._number}-{self._counter}"
        headers = {"accept": "application/json", "x-request-id": request_id}
        if call.needs_token:
            headers["authorization"] = f"Bearer {self._access_token}"
        if call.body:
            headers |= JSON_BODY
        self.tally.started()
        try:
            answer = await self._http.request(call.method, call.target, headers, call.body)
        except RequestFailedError as error:
            fault: str | None = error.reason
        else:
            fault = self._judge(call, answer, request_id)
        self.tally.ended(call, request_id, time.monotonic() - due, fault)

    def _judge(self, call: Call, answer: Answer, request_id: str) -> str | None:
        if answer.headers.get("x-request-id") != request_id:
            return "answer of another request"
        fault = fault_of(call, answer.status, answer.body)
        if fault is not None:
            return fault
        if call.route == "auth.refresh":
            self._keep_tokens(answer.body)
        if call.is_fixed:
            self.tally.compare(call.target, digest(answer.body))
        return None

    async def _post(self, target: str, body: dict[str, str]) -> Answer:
        data = json.dumps(body).encode()
        try:
            return await self._http.request("POST", target, dict(JSON_BODY), data)
        except RequestFailedError as error:
            raise SignUpError(f"POST {target}: {error.reason}") from error

    def _keep_tokens(self, body: bytes) -> None:
        session = json.loads(body)
        self._access_token = session["access_token"]
        self._refresh_token = session["refresh_token"]

    def close(self) -> int:
        """Close the connection; returns how many were opened."""
        self._http.close()
        return self._http.connects


def digest(body: bytes) -> bytes:
    """The meaning of a JSON answer in 16 bytes: order of keys and spaces do not count."""
    canonical = json.dumps(json.loads(body), sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(canonical.encode(), digest_size=16).digest()
