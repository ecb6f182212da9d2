"""People who use every domain of the API through the public host, and remember what they were told.

Whoever moves routes and tables under them must not be noticed: every answer is checked at once, and
`verify` reads back all that was ever acknowledged.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import itertools
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httpx
from PIL import Image

REFERENCE_CODE = "000000"  # contract, section 7
PAUSE_SECONDS = 0.15
REQUEST_SECONDS = 30.0
PAGE = 100


@dataclass
class Diary:
    """What one person wrote and was told that it is kept."""

    messages: dict[str, list[str]] = field(default_factory=dict)  # conversation -> own words
    stories: dict[str, str] = field(default_factory=dict)  # id -> content
    images: dict[str, str] = field(default_factory=dict)  # id -> SHA-256 of the bytes
    rooms: set[str] = field(default_factory=set)
    scenarios: set[str] = field(default_factory=set)
    name: str | None = None
    ingested: int = 0


class Person:
    """One client with an account. `faults` are sentences; an empty list is what a test asks for."""

    def __init__(self, url: str, number: int) -> None:
        self._http = httpx.AsyncClient(base_url=url, timeout=REQUEST_SECONDS)
        self._random = Random(number)
        self._email = f"journey-{number}-{uuid.uuid4().hex[:10]}@example.com"
        self._words = (f"word {number}-{n}" for n in itertools.count())
        self.diary = Diary()
        self.faults: list[str] = []
        self.requests = 0

    async def sign_up(self) -> None:
        await self._ask("POST", "/api/auth/create-account", 201, json={"email": self._email})
        code = {"email": self._email, "code": REFERENCE_CODE}
        session = await self._ask("POST", "/api/auth/verify-otp", 200, json=code)
        assert session is not None, self.faults
        self._http.headers["Authorization"] = f"Bearer {session.json()['access_token']}"

    async def live(self, over: asyncio.Event) -> None:
        """Do one thing after the other, in a random order, until `over`."""
        things: tuple[Callable[[], Awaitable[None]], ...] = (
            self._talk, self._talk, self._write_story, self._upload, self._open_room,
            self._write_scenario, self._rename, self._ingest, self._look_around, self._look_around,
        )  # fmt: skip
        while not over.is_set():
            await self._random.choice(things)()
            await asyncio.sleep(self._random.uniform(0.2, 1.8) * PAUSE_SECONDS)

    # ---- writing ------------------------------------------------------------------------------

    async def _talk(self) -> None:
        said = next(self._words)
        mine = self.diary.messages
        body = {"message": said, "character": "Ada"}
        if len(mine) >= 3:  # each conversation costs a unit of the day
            body["conversation_id"] = self._random.choice(list(mine))
        answer = await self._write("POST", "/api/chat/talk_with", 200, json=body)
        if answer is not None:
            mine.setdefault(answer["conversation_id"], []).append(said)

    async def _write_story(self) -> None:
        content = next(self._words)
        body = {"characters": ["Ada"], "title": "A story", "content": content}
        answer = await self._write("POST", "/api/story/drafts", 201, json=body)
        if answer is not None:
            self.diary.stories[answer["id"]] = content
            published = f"/api/story/stories/{answer['id']}/publish"
            await self._ask("POST", published, 200, json={})

    async def _upload(self) -> None:
        data = picture(self._random)
        files = {"file": ("a.png", data, "image/png")}
        answer = await self._write("POST", "/api/images/upload", 201, files=files)
        if answer is not None:
            self.diary.images[answer["id"]] = hashlib.sha256(data).hexdigest()

    async def _open_room(self) -> None:
        answer = await self._write(
            "POST", "/api/story/rooms", 201, json={"name": next(self._words)}
        )
        if answer is not None:
            self.diary.rooms.add(answer["id"])

    async def _write_scenario(self) -> None:
        body = {"title": next(self._words), "is_public": True}
        answer = await self._write("POST", "/api/story/scenarios", 201, json=body)
        if answer is not None:
            self.diary.scenarios.add(answer["id"])

    async def _rename(self) -> None:
        name = next(self._words)
        answer = await self._write("PUT", "/api/auth/users/me/details", 200, json={"name": name})
        if answer is not None:
            self.diary.name = name

    async def _ingest(self) -> None:
        body = {"events": [{"name": "opened"}]}
        answer = await self._write("POST", "/api/analytics/events", 202, json=body)
        if answer is not None:
            self.diary.ingested += 1

    # ---- reading ------------------------------------------------------------------------------

    async def _look_around(self) -> None:
        path = self._random.choice(
            (
                "/api/search?q=star", "/api/resources/movies", "/api/auth/users/me", "/api/images",
                "/api/payments/quotas", "/api/payments/subscription", "/api/payments/plans",
                "/api/chat/conversations", "/api/story/stories", "/api/story/rooms",
                "/api/notifications", "/api/analytics/users/me", "/api/conversation-stats",
                "/api/user_management/referral", "/api/analytics/users/me/streak",
            )
        )  # fmt: skip
        await self._ask("GET", path, 200)

    async def verify(self) -> None:
        """Read back everything that was acknowledged; what is missing becomes a fault."""
        diary = self.diary
        for conversation, said in diary.messages.items():
            rows = await self._all(f"/api/chat/conversations/{conversation}/messages?order=asc")
            self._same("messages", said, [r["content"] for r in rows if r["role"] == "user"])
        stories = {row["id"] for row in await self._all("/api/story/stories?mine=true")}
        self._same("stories", set(diary.stories), stories)
        images = {row["id"] for row in await self._all("/api/images")}
        self._same("images", set(diary.images), images)
        for image, digest in diary.images.items():
            answer = await self._ask("GET", f"/api/images/{image}/content", 200)
            found = hashlib.sha256(answer.content).hexdigest() if answer else None
            self._same(f"bytes of {image}", digest, found)
        rooms = {row["id"] for row in await self._all("/api/story/rooms")}
        self._same("rooms", diary.rooms, rooms)
        scenarios = {row["id"] for row in await self._all("/api/story/scenarios?scope=mine")}
        self._same("scenarios", diary.scenarios, scenarios)
        me = await self._ask("GET", "/api/auth/users/me", 200)
        self._same("name", diary.name, me.json()["name"] if me else None)

    async def messages_counted(self) -> bool:
        """Whether analytics has heard of every message that this person sent."""
        answer = await self._ask("GET", "/api/analytics/users/me", 200)
        sent = sum(len(said) for said in self.diary.messages.values())
        return answer is not None and answer.json()["message_count"] == sent

    async def close(self) -> None:
        await self._http.aclose()

    # ---- asking -------------------------------------------------------------------------------

    async def _write(self, method: str, path: str, status: int, **what: Any) -> Any:
        answer = await self._ask(method, path, status, **what)
        return None if answer is None else answer.json()

    async def _all(self, path: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        cursor = ""
        while True:
            mark = "&" if "?" in path else "?"
            answer = await self._ask("GET", f"{path}{mark}limit={PAGE}{cursor}", 200)
            if answer is None:
                return rows
            page = answer.json()
            rows += page["items"]
            if not page["has_more"]:
                return rows
            cursor = f"&cursor={page['next_cursor']}"

    async def _ask(self, method: str, path: str, status: int, **what: Any) -> httpx.Response | None:
        self.requests += 1
        try:
            answer = await self._http.request(method, path, **what)
        except httpx.HTTPError as error:
            self.faults.append(f"{method} {path}: {error!r}")
            return None
        if answer.status_code != status:
            self.faults.append(f"{method} {path}: {answer.status_code} {answer.text[:200]}")
            return None
        return answer

    def _same(self, what: str, written: object, found: object) -> None:
        if written != found:
            self.faults.append(f"{what}: wrote {written}, found {found}")


def picture(random: Random) -> bytes:
    """A small PNG that no other has."""
    canvas = Image.new("RGB", (8, 8), tuple(random.randrange(256) for _ in range(3)))
    for n in range(8):
        canvas.putpixel((n, n), (random.randrange(256), random.randrange(256), n))
    buffer = io.BytesIO()
    canvas.save(buffer, "PNG")
    return buffer.getvalue()
