"""The frames that wait for one socket."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any, cast

from starlette.websockets import WebSocket

from services.community.live.seat import QUEUE_FRAMES, Seat


class Socket:
    """Keeps what was sent, and the code it was closed with."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.code: int | None = None

    async def send_text(self, text: str) -> None:
        self.sent.append(text)

    async def close(self, code: int) -> None:
        self.code = code


def seat_and_socket() -> tuple[Seat, Socket]:
    socket = Socket()
    return Seat(cast(WebSocket, cast(Any, socket)), uuid.uuid4(), uuid.uuid4()), socket


async def test_frames_are_sent_in_order_before_the_close() -> None:
    seat, socket = seat_and_socket()
    seat.put("a")
    seat.put("b", 1)
    seat.send_away(4410)
    seat.put("late")
    await seat.write()
    assert (socket.sent, socket.code) == (["a", "b"], 4410)


async def test_a_message_that_ready_has_shown_is_not_sent_again() -> None:
    seat, socket = seat_and_socket()
    for seq in (1, 2, 3):
        seat.put(f"m{seq}", seq)
    seat.put("typing")
    seat.seen_seq = 2
    seat.send_away(1012)
    await seat.write()
    assert socket.sent == ["m3", "typing"]


async def test_who_is_too_far_behind_is_asked_to_come_again() -> None:
    seat, socket = seat_and_socket()
    for number in range(QUEUE_FRAMES + 1):
        seat.put(str(number))
    await asyncio.wait_for(seat.write(), 5)
    assert (socket.sent, socket.code) == ([], 1013)
