"""The WebSocket of a room (contract, 1.14): greet, check, `ready`, then frames both ways."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from pydantic import ValidationError
from starlette.websockets import WebSocket, WebSocketDisconnect

from services.community.live.seat import Seat
from services.community.service.community import Community
from services.community.service.conversation import RefusedError, RoomConversation, error_text
from shared.contract.rooms import (
    CLIENT_FRAME,
    MAX_FRAME_BYTES,
    ClientMessage,
    ClientTyping,
    CloseCode,
    Pong,
)
from shared.errors import Code, PeerError
from shared.observability.reports import report_exception
from shared.placement.errors import TablesMovedError
from shared.placement.pools import CONNECTION_ERRORS
from shared.web.endpoints import ServiceRouter
from shared.web.sockets import TRY_AGAIN, close, greet

router = ServiceRouter()

CLOSING_SECONDS = 2.0  # for what is under way when a socket closes
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_PONG = Pong().model_dump_json()


@router.socket("community.room_ws")
async def room(socket: WebSocket, room_id: str) -> None:
    """Accepts first and refuses with a close code, so that browsers can see the reason."""
    user = await greet(socket)
    if user is None:
        return
    if socket.app.state.health.is_draining:
        await close(socket, CloseCode.RESTART)
        return
    if _UUID.fullmatch(room_id) is None:
        await close(socket, CloseCode.NO_SUCH_ROOM)
        return
    community: Community = socket.app.state.community
    talk = community.conversation
    seat = Seat(socket, UUID(room_id), user.id)
    try:
        online = await talk.sit(seat)
    except Exception as error:
        await close(socket, _close_code(error, seat))
        return
    try:
        await _serve(talk, seat, online)
    finally:
        await talk.stand(seat)


async def _serve(talk: RoomConversation, seat: Seat, online: list[UUID]) -> None:
    """Until the client leaves, is silent, or is sent away."""
    try:
        ready = await talk.ready(seat, online)
    except Exception as error:
        await close(seat.socket, _close_code(error, seat))
        return
    try:
        await seat.socket.send_text(ready.model_dump_json())
    except (WebSocketDisconnect, RuntimeError, OSError):
        return  # the client is gone already
    writer = asyncio.create_task(seat.write())
    reader = asyncio.create_task(_read(talk, seat))
    try:
        await asyncio.wait({reader, writer}, return_when=asyncio.FIRST_COMPLETED)
        failure = reader.exception() if reader.done() else None
        if failure is not None:
            seat.send_away(_close_code(failure, seat))
        # The writer closes the socket; the reader ends what it was doing and sees the end.
        await asyncio.wait({reader, writer} if writer.done() else {writer}, timeout=CLOSING_SECONDS)
    finally:
        for task in (reader, writer):
            task.cancel()
        await asyncio.gather(reader, writer, return_exceptions=True)


async def _read(talk: RoomConversation, seat: Seat) -> None:
    """Handle the frames of the client, one after the other. Raises RefusedError for wrong ones."""
    while True:
        try:
            async with asyncio.timeout(talk.silence_seconds):
                message = await seat.socket.receive()
        except TimeoutError:
            raise RefusedError(CloseCode.SILENT) from None
        if message["type"] == "websocket.disconnect":
            return
        await _frame(talk, seat, _parsed(message))


def _parsed(message: Mapping[str, Any]) -> object:
    """The value of a JSON text frame, or the close code for what is none."""
    text = message.get("text")
    if text is None:
        raise RefusedError(CloseCode.NOT_TEXT)
    if len(text.encode("utf-8", "surrogatepass")) > MAX_FRAME_BYTES:
        raise RefusedError(CloseCode.TOO_LARGE)
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise RefusedError(CloseCode.NOT_TEXT) from None


async def _frame(talk: RoomConversation, seat: Seat, value: object) -> None:
    try:
        frame = CLIENT_FRAME.validate_python(value)
    except ValidationError:
        text = "A frame is a message with 1 to 2000 characters, typing or ping"
        seat.put(error_text(Code.VALIDATION_ERROR, text))
        return
    match frame:
        case ClientMessage():
            await talk.say(seat, frame)
        case ClientTyping():
            await talk.type(seat)
        case _:
            seat.put(_PONG)


def _close_code(error: BaseException, seat: Seat) -> int:
    """What a failure means for a client; one of ours is reported."""
    if isinstance(error, RefusedError):
        return error.code
    if isinstance(error, TablesMovedError):
        return CloseCode.RESTART  # the room is served elsewhere now: coming back finds it
    if not isinstance(error, (PeerError, *CONNECTION_ERRORS)):
        report_exception(error, room_id=str(seat.room_id))
    return TRY_AGAIN
