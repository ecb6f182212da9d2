"""What handlers of this domain take: the service, who calls, and the place in a list."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from services.community.models import Place
from services.community.owners import Caller
from services.community.service.community import Community
from shared.auth.dependencies import CurrentUser
from shared.web.cursors import Cursor, cursor_parameter


async def community(request: Request) -> Community:
    """The service that the app's lifespan has opened."""
    found: Community = request.app.state.community
    return found


async def caller(request: Request, user: CurrentUser) -> Caller:
    """The user with the header that other apps will want to see."""
    return Caller(user.id, request.headers.get("authorization", ""))


Service = Annotated[Community, Depends(community)]
CurrentCaller = Annotated[Caller, Depends(caller)]
AfterCursor = Annotated[Cursor | None, Depends(cursor_parameter)]


def after_moment(cursor: Cursor | None) -> Place | None:
    """The place in a list by a time; 400 for a cursor of another list."""
    return Place(cursor.moment(), cursor.uuid()) if cursor is not None else None


def after_number(cursor: Cursor | None) -> Place | None:
    """The place in a list by a whole number; 400 for a cursor of another list."""
    return Place(cursor.integer(), cursor.uuid()) if cursor is not None else None


def next_cursor(last: Place | None) -> str | None:
    return Cursor.of(last.sort, last.id).encode() if last is not None else None
