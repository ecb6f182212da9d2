"""How endpoints reach the service."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from services.chat.service.chat import Chat


async def chat_service(request: Request) -> Chat:
    """The service that the app's lifespan has opened; async, for others run in a thread."""
    service: Chat = request.app.state.chat
    return service


ChatService = Annotated[Chat, Depends(chat_service)]
