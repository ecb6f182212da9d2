"""What the answers of an owner's public route mean for the caller."""

from __future__ import annotations

import uuid

import httpx
import pytest

from services.community.owners import Caller, Owners
from shared.errors import Code, PeerError
from shared.observability.context import request_scope

CALLER = Caller(uuid.uuid4(), "Bearer the-token")
THING = uuid.uuid4()


def owners(asked: list[httpx.Request], status: int) -> Owners:
    """An owner that gives one answer and keeps what it was asked."""

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        if status == 0:
            raise httpx.ConnectError("nobody is there")
        return httpx.Response(status)

    transport = httpx.MockTransport(answer)
    return Owners(httpx.AsyncClient(transport=transport, base_url="http://owner"))


@pytest.mark.parametrize(("status", "owned"), [(200, True), (404, False)])
async def test_the_owner_is_asked_with_the_callers_own_token(status: int, owned: bool) -> None:
    asked: list[httpx.Request] = []
    with request_scope("the-request"):
        assert await owners(asked, status).owns_image(CALLER, THING) is owned
        assert await owners(asked, status).owns_conversation(CALLER, THING) is owned
    assert [request.url.path for request in asked] == [
        f"/api/images/{THING}",
        f"/api/chat/conversations/{THING}/messages",
    ]
    for request in asked:
        assert request.headers["authorization"] == "Bearer the-token"
        assert request.headers["x-request-id"] == "the-request"


@pytest.mark.parametrize("status", [0, 401, 429, 500, 503])
async def test_any_other_answer_is_none(status: int) -> None:
    with pytest.raises(PeerError) as caught:
        await owners([], status).owns_image(CALLER, THING)
    assert caught.value.code is Code.UNAVAILABLE
    assert "the-token" not in caught.value.message
