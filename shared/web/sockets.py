"""The beginning of a WebSocket (contract, 1.14): accept, know the user, or close with a code.

@router.socket("community.room_ws")
async def room(socket: WebSocket) -> None:
    user = await greet(socket, room_id)      # None: it was closed with 4401
    if user is None:
        return
"""

from __future__ import annotations

from starlette.websockets import WebSocket, WebSocketDisconnect

from shared.auth.admission import TokenAdmission
from shared.auth.dependencies import User
from shared.contract.rooms import BEARER_PREFIX, SUBPROTOCOL, CloseCode
from shared.errors import CallerError, PeerError

TRY_AGAIN = 1013


async def greet(socket: WebSocket) -> User | None:
    """Accept the socket, so that browsers can see why it closes, then find out who calls.

    The token comes in `Authorization` or as the subprotocol `bearer.<jwt>`, never in the query.
    """
    offered = list(socket.scope.get("subprotocols", ()))
    await socket.accept(subprotocol=SUBPROTOCOL if SUBPROTOCOL in offered else None)
    admission: TokenAdmission = socket.app.state.admission
    try:
        principal = await admission.identify(_authorization(socket, offered))
        admission.require_role(principal, "authenticated")
        principal = await admission.require_account(principal)
    except CallerError:
        await close(socket, CloseCode.TOKEN)
        return None
    except PeerError:
        await close(socket, TRY_AGAIN)
        return None
    if principal.user_id is None:
        await close(socket, CloseCode.TOKEN)
        return None
    return User(principal.user_id, principal)


async def close(socket: WebSocket, code: int) -> None:
    """Close, also when the client is gone already."""
    try:
        await socket.close(code)
    except (RuntimeError, WebSocketDisconnect):
        return


def _authorization(socket: WebSocket, offered: list[str]) -> str | None:
    header = socket.headers.get("authorization")
    if header is not None:
        return header
    token = next(
        (p.removeprefix(BEARER_PREFIX) for p in offered if p.startswith(BEARER_PREFIX)), ""
    )
    return f"Bearer {token}" if token else None
