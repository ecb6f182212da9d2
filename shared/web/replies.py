"""What an endpoint may return and how it becomes an answer: JSON, caching, ETags (contract, 1.11)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar

from pydantic import BaseModel
from starlette.responses import Response

NO_STORE = "no-store"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Reply(Generic[M]):
    """A JSON answer with more than a body; `M` is the wire model, as the API description shows it.

    >>> return Reply(title, etag=weak_etag(row["updated_at"]), cache_seconds=300)
    """

    body: M | None = None
    status: int | None = None  # None: the route's own success status
    etag: str | None = None
    cache_seconds: int | None = None  # public, max-age; None: no-store
    headers: Mapping[str, str] = field(default_factory=dict)


Result = BaseModel | Reply[Any] | Response | None


def weak_etag(updated_at: datetime) -> str:
    """`W/"<microseconds since 1970>"`: the same in every app for the same row."""
    return f'W/"{microseconds(updated_at)}"'


def microseconds(moment: datetime) -> int:
    """Microseconds since 1970 of an aware datetime, exactly."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def etag_matches(if_none_match: str | None, etag: str) -> bool:
    """Weak comparison of RFC 9110, 13.1.2: a list of tags, or `*`."""
    if if_none_match is None:
        return False
    given = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return "*" in given or etag.removeprefix("W/") in given


def to_response(
    result: Result,
    *,
    success: int,
    if_none_match: str | None = None,
    cache_seconds: int | None = None,
) -> Response:
    """The HTTP answer of an endpoint's result. `cache_seconds` is the route's own default."""
    if isinstance(result, Response):
        return result
    reply = result if isinstance(result, Reply) else Reply(result)
    headers = dict(reply.headers)
    seconds = reply.cache_seconds if reply.cache_seconds is not None else cache_seconds
    headers.setdefault(
        "Cache-Control", f"public, max-age={seconds}" if seconds is not None else NO_STORE
    )
    if reply.etag is not None:
        headers["ETag"] = reply.etag
        if etag_matches(if_none_match, reply.etag):
            return Response(status_code=304, headers=headers)
    status = reply.status if reply.status is not None else success
    if reply.body is None:
        return Response(status_code=status, headers=headers)
    return Response(
        reply.body.model_dump_json(by_alias=True),
        status_code=status,
        headers=headers,
        media_type="application/json",
    )
