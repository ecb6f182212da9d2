"""The WebSocket of a room (contract, 1.14): accept, check, `ready`, then frames both ways."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import WebSocket
from pydantic import Field, ValidationError

from monolith.calls import Contract
from monolith.community.hub import REMOVED, RESTART, TRY_LATER, RoomHub, Seat
from monolith.community.room_rows import MESSAGE, find_room, room_message_of, room_of
from monolith.community.router import router
from monolith.context import Context
from monolith.database import Row, database_error, is_fenced, one
from monolith.errors import ApiError
from monolith.gates import CONTRACT, bearer, check_account
from monolith.ratelimit import RateLimiter
from monolith.tokens import UserToken
from monolith.values import UUID_TEXT, Trimmed, Wire

log = logging.getLogger("monolith.community.socket")
PROTOCOL = "scenextras.v1"
TOKEN_PREFIX = "bearer."  # noqa: S105 - a prefix, not a secret
PATH = "/api/story/rooms/{room_id}/ws"
SILENCE_SECONDS = 120.0
FRAME_BYTES_MAX = 16 * 1024
MESSAGES_PER_MINUTE = 30
RECENT_MESSAGES = 50
NOT_TEXT, TOO_BIG = 1003, 1009
BAD_TOKEN, NOT_MEMBER, NO_ROOM, SILENT, TOO_MANY = 4401, 4403, 4404, 4408, 4429


class MessageFrame(Wire):
    type: Literal["message"]
    content: Annotated[Trimmed, Field(min_length=1, max_length=2000)]
    client_id: Annotated[str, Field(max_length=64)] | None = None


class RefusedError(Exception):
    """The socket is closed with this code."""

    def __init__(self, code: int) -> None:
        super().__init__(str(code))
        self.code = code


async def room_ws(socket: WebSocket, room_id: str) -> None:
    """Accepts first and refuses with a close code, so that browsers can see the reason."""
    context: Context = socket.app.state.context
    offered = socket.scope.get("subprotocols") or []
    await socket.accept(PROTOCOL if PROTOCOL in offered else None)
    try:
        seat, online = await _seated(context, socket, room_id, offered)
    except RefusedError as refused:
        await socket.close(refused.code)
        return
    except Exception as error:
        if database_error(error) is None:
            log.exception("socket failed")
        await socket.close(TRY_LATER)
        return
    await _serve(context, seat, online)


setattr(
    room_ws,
    CONTRACT,
    Contract("community.room_ws", "community", "GET", PATH, "user", "websocket", "none", 101),
)
router.api.add_api_websocket_route(PATH, room_ws, name="community.room_ws")


async def _seated(
    context: Context, socket: WebSocket, room_id: str, offered: list[str]
) -> tuple[Seat, list[str]]:
    """All checks of the handshake, in the order of contract, 1.5."""
    if await context.maintenance.refusal("community", "websocket") is not None:
        raise RefusedError(TRY_LATER)
    user_id = await _user(context, socket, offered)
    if UUID_TEXT.fullmatch(room_id) is None:
        raise RefusedError(NO_ROOM)
    row = await find_room(context.database, user_id, UUID(room_id))
    if row is None:
        raise RefusedError(NO_ROOM)
    if not row["is_member"]:
        raise RefusedError(NOT_MEMBER)
    seat = Seat(socket, row["id"], user_id)
    online = await context.part(RoomHub).sit(context, seat)
    if online is None:
        raise RefusedError(TOO_MANY)
    return seat, online


async def _user(context: Context, socket: WebSocket, offered: list[str]) -> UUID:
    """From the Authorization header or the subprotocol, never from the query."""
    value = bearer(socket.headers.get("authorization"))
    if value is None:
        tokens = [p.removeprefix(TOKEN_PREFIX) for p in offered if p.startswith(TOKEN_PREFIX)]
        value = tokens[0] if tokens else ""
    try:
        token = context.tokens.read(value, time.time())
        if not isinstance(token, UserToken):
            raise RefusedError(BAD_TOKEN)
        await check_account(context, token.user_id)
    except ApiError as error:
        raise RefusedError(BAD_TOKEN if error.status in {401, 403} else TRY_LATER) from error
    return token.user_id


async def _serve(context: Context, seat: Seat, online: list[str]) -> None:
    hub = context.part(RoomHub)
    writer: asyncio.Task[None] | None = None
    try:
        await seat.socket.send_text(json.dumps(await _ready(context, seat, online)))
        writer = asyncio.create_task(seat.write())
        await _read(context, hub, seat, writer)
    except RefusedError as refused:
        seat.send_away(refused.code)
        if writer is not None:
            await asyncio.wait({writer}, timeout=1.0)
        else:
            await seat.socket.close(refused.code)
    except Exception as error:
        if database_error(error) is None and not isinstance(error, RuntimeError):
            log.exception("socket failed")
        # A fenced table means that the room is served elsewhere now: reconnecting finds it.
        seat.send_away(RESTART if is_fenced(error) else TRY_LATER)
        if writer is not None:
            await asyncio.wait({writer}, timeout=1.0)
    finally:
        if writer is not None:
            writer.cancel()
        await hub.stand(context, seat)


async def _ready(context: Context, seat: Seat, online: list[str]) -> dict[str, Any]:
    row = await find_room(context.database, seat.user_id, seat.room_id)
    if row is None:
        raise RefusedError(REMOVED)
    rows = await context.database.fetch(
        MESSAGE + " WHERE x.room_id = $1 ORDER BY x.seq DESC LIMIT $2",
        seat.room_id,
        RECENT_MESSAGES,
    )
    recent = [room_message_of(context, message) for message in reversed(rows)]
    seat.seen_seq = recent[-1].seq if recent else 0
    return {
        "type": "ready",
        "room": room_of(context, row).model_dump(mode="json"),
        "online": online,
        "recent": [message.model_dump(mode="json") for message in recent],
    }


async def _read(context: Context, hub: RoomHub, seat: Seat, writer: asyncio.Task[None]) -> None:
    """Frames of the client until it leaves, is silent, or is sent away."""
    while not writer.done():
        receiving = asyncio.create_task(seat.socket.receive())
        done, _ = await asyncio.wait(
            {receiving, writer}, timeout=SILENCE_SECONDS, return_when=asyncio.FIRST_COMPLETED
        )
        if receiving not in done:
            receiving.cancel()
            await asyncio.gather(receiving, return_exceptions=True)
            if not done:
                raise RefusedError(SILENT)
            return
        message = receiving.result()
        if message["type"] == "websocket.disconnect":
            return
        await _frame(context, hub, seat, _text(message))


def _text(message: Any) -> dict[str, Any]:
    """A JSON text frame, or the close code for what is none."""
    text = message.get("text")
    if text is None:
        raise RefusedError(NOT_TEXT)
    if len(text.encode("utf-8", "surrogatepass")) > FRAME_BYTES_MAX:
        raise RefusedError(TOO_BIG)
    try:
        frame = json.loads(text)
    except (ValueError, RecursionError):
        raise RefusedError(NOT_TEXT) from None
    return frame if isinstance(frame, dict) else {"type": None}


async def _frame(context: Context, hub: RoomHub, seat: Seat, frame: dict[str, Any]) -> None:
    kind = frame.get("type")
    if kind == "ping":
        seat.put({"type": "pong"})
    elif kind == "typing":
        await hub.publish(seat.room_id, {"type": "typing", "user_id": str(seat.user_id)})
    elif kind == "message":
        await _message(context, hub, seat, frame)
    else:
        seat.put(_error("VALIDATION_ERROR", "Unknown type of frame"))


def _error(code: str, message: str) -> dict[str, Any]:
    return {"type": "error", "code": code, "message": message}


async def _message(context: Context, hub: RoomHub, seat: Seat, frame: dict[str, Any]) -> None:
    try:
        wanted = MessageFrame.model_validate(frame)
    except ValidationError:
        seat.put(_error("VALIDATION_ERROR", "content must have 1 to 2000 characters"))
        return
    limiter = RateLimiter(context.redis, {"room": MESSAGES_PER_MINUTE})
    count = await limiter.count("room", f"{seat.room_id}:{seat.user_id}", time.time())
    if count is not None and count.used > count.limit:
        seat.put(_error("RATE_LIMITED", "At most 30 messages a minute"))
        return
    row = await _store(context, seat, wanted.content)
    message = room_message_of(context, row).model_dump(mode="json")
    await hub.publish(
        seat.room_id, {"type": "message", "message": message, "client_id": wanted.client_id}
    )


async def _store(context: Context, seat: Seat, content: str) -> Row:
    """Number and keep a message under the lock of its room; only members may speak."""
    async with context.database.transaction() as connection:
        seq = await connection.fetchval(
            "UPDATE fandom_rooms r SET last_seq = last_seq + 1 WHERE r.id = $1 AND EXISTS"
            " (SELECT 1 FROM room_members m WHERE m.room_id = r.id AND m.user_id = $2)"
            " RETURNING last_seq",
            seat.room_id,
            seat.user_id,
        )
        if seq is None:
            raise RefusedError(REMOVED)
        made = await connection.fetchval(
            "INSERT INTO room_messages (room_id, seq, user_id, content)"
            " VALUES ($1, $2, $3, $4) RETURNING id",
            seat.room_id,
            seq,
            seat.user_id,
            content,
        )
        return await one(connection, MESSAGE + " WHERE x.id = $1", made)
