"""Frames of the room socket (public contract, 1.14); pure."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from shared.contract.community import Room, RoomMessage
from shared.contract.values import Id, RequestModel, Text, WireModel

MAX_FRAME_BYTES = 16 * 1024
SUBPROTOCOL = "scenextras.v1"
BEARER_PREFIX = "bearer."


class CloseCode:
    """Why a socket was closed, as the contract numbers it."""

    NOT_TEXT = 1003
    TOO_LARGE = 1009
    RESTART = 1012
    MAINTENANCE = 1013
    TOKEN = 4401
    NOT_A_MEMBER = 4403
    NO_SUCH_ROOM = 4404
    SILENT = 4408
    REMOVED = 4410
    TOO_MANY_SOCKETS = 4429


class ClientMessage(RequestModel):
    type: Literal["message"]
    content: Annotated[str, Text(1, 2000)]
    client_id: Annotated[str, Text(0, 64)] | None = None


class ClientTyping(RequestModel):
    type: Literal["typing"]


class ClientPing(RequestModel):
    type: Literal["ping"]


ClientFrame = Annotated[ClientMessage | ClientTyping | ClientPing, Field(discriminator="type")]
CLIENT_FRAME: TypeAdapter[ClientMessage | ClientTyping | ClientPing] = TypeAdapter(ClientFrame)


class Ready(WireModel):
    type: Literal["ready"] = "ready"
    room: Room
    online: tuple[Id, ...]
    recent: tuple[RoomMessage, ...]


class MessageFrame(WireModel):
    type: Literal["message"] = "message"
    message: RoomMessage
    client_id: str | None


class Typing(WireModel):
    type: Literal["typing"] = "typing"
    user_id: Id


class Presence(WireModel):
    type: Literal["presence"] = "presence"
    user_id: Id
    status: Literal["online", "offline"]


class ErrorFrame(WireModel):
    type: Literal["error"] = "error"
    code: str
    message: str


class Pong(WireModel):
    type: Literal["pong"] = "pong"
