"""The whole system with PROVIDERS=live and no key: every vendor is a local stand-in, on both sides.

Sign-up by mail, sign-in by Google, a purchase on a checkout page whose webhooks come back through
the router, and a conversation: first with the old API, then with the services.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from migrate.stack.local import LocalStack
from shared.manifest import load_manifest

ROOT = Path(__file__).parents[3]
MANIFEST = ROOT / "migration.toml"
SERVICES = ("auth", "payments", "chat")
START_SECONDS = 500

pytestmark = pytest.mark.timeout(START_SECONDS)


def migrate(directory: Path, *arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name[:6] != "STACK_"}
    done = subprocess.run(
        [sys.executable, "-m", "migrate.cli", "--stack", str(directory), *arguments],
        cwd=ROOT,
        env={**environment, "STACK_OWNER_PID": str(os.getpid()), "STACK_PUBLIC_PORT": "0"},
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    directory = tmp_path_factory.mktemp("live")
    chosen = [word for name in SERVICES for word in ("--only", name)]
    migrate(directory, "up", "--stand-ins", *chosen)
    try:
        yield LocalStack(directory, load_manifest(MANIFEST), MANIFEST)
    finally:
        migrate(directory, "down", "--wipe", "--yes")


@dataclass
class Life:
    """Somebody who uses the product from outside."""

    public: httpx.AsyncClient
    vendors: httpx.AsyncClient

    async def post(self, path: str, token: str | None = None, **body: Any) -> Any:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        answer = await self.public.post(path, json=body, headers=headers)
        assert answer.is_success, f"{path}: {answer.text}"
        return answer.json()

    async def tier(self, token: str) -> int:
        headers = {"Authorization": f"Bearer {token}"}
        answer = await self.public.get("/api/payments/subscription", headers=headers)
        return int(answer.json()["tier"])

    async def sign_up(self) -> str:
        """A session, by the code that came by mail."""
        email = f"ann-{uuid.uuid4().hex[:8]}@example.com"
        await self.post("/api/auth/create-account", email=email, password="correct horse")
        mails = (await self.vendors.get("/_mail")).json()
        (mail,) = [one for one in mails if email in one["recipients"]]
        code = re.search(r"\b\d{6}\b", mail["text"])
        assert code is not None
        session = await self.post("/api/auth/verify-otp", email=email, code=code[0])
        return str(session["access_token"])


@pytest.fixture
async def life(stack: LocalStack) -> AsyncIterator[Life]:
    vendors = f"http://127.0.0.1:{stack.state.ports['stand-ins']}"
    async with (
        httpx.AsyncClient(base_url=stack.state.public_url, timeout=60) as public,
        httpx.AsyncClient(base_url=vendors, timeout=30) as stand_ins,
    ):
        yield Life(public, stand_ins)


@pytest.mark.parametrize("percent", [0, 100])
async def test_a_whole_life_needs_no_key_of_any_vendor(
    life: Life, stack: LocalStack, percent: int
) -> None:
    for service in SERVICES:
        command = ("flag", "set", service, "--percent", str(percent), "--reason", "live", "--yes")
        await asyncio.to_thread(migrate, stack.layout.root, *command)
    token = await life.sign_up()
    person = {"email": f"bob-{uuid.uuid4().hex[:8]}@example.com", "name": "Bob"}
    id_token = (await life.vendors.post("/openid/google/id_token", json=person)).json()["id_token"]
    joined = await life.post("/api/auth/oauth/google", id_token=id_token)
    assert (joined["created"], joined["user"]["email"]) == (True, person["email"])
    page = await life.post("/api/payments/create-checkout-session", token, price_id="price_pro")
    assert (await life.vendors.post(f"{page['checkout_url']}/pay")).status_code == 303
    async with asyncio.timeout(30):  # the purchase comes back as signed webhooks
        while await life.tier(token) != 1:
            await asyncio.sleep(0.1)
    said = await life.post("/api/chat/talk_with", token, message="Hello there", character="Neo")
    assert "Hello there" in said["response"]
    assert said["remaining_quota"] == -1
    told = (await life.vendors.get("/_deliveries")).json()
    assert {one["status"] for one in told} == {200}
