"""The event as it travels: CloudEvents-like JSON of the public contract (section 4); pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from enum import Enum
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_serializer

from shared.events.errors import UnreadableEventError
from shared.observability.context import current_request_id, current_traceparent

#: Dotted lower-case words, as in `subscription.upgraded` and `chat.image_received`.
EventType = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+$", max_length=120)]


class Event(BaseModel):
    """One thing that has happened. Unknown members are ignored, so the envelope may grow."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    specversion: Literal["1.0"] = "1.0"
    id: UUID
    type: EventType
    version: Annotated[int, Field(ge=1, le=999)] = 1
    source: Annotated[str, Field(pattern=r"^/[a-z][a-z0-9_-]*$")]  # /<domain>
    time: datetime
    subject: str | None = None  # the user's id
    requestid: str | None = None
    traceparent: str | None = None  # W3C trace context
    datacontenttype: Literal["application/json"] = "application/json"
    data: Mapping[str, Any]

    @field_serializer("time")
    def _write_time(self, value: datetime) -> str:
        return timestamp(value)

    @property
    def partition_key(self) -> str:
        """Events with the same key are handled one after the other by one worker."""
        return self.subject or self.source.removeprefix("/")

    def to_json(self) -> bytes:
        """The wire form, every member present."""
        return self.model_dump_json().encode()


def new_event(
    type_: str,
    *,
    source: str,
    subject: UUID | str | None,
    data: Mapping[str, Any],
    version: int = 1,
    requestid: str | None = None,
    traceparent: str | None = None,
) -> Event:
    """An event that happens now; `source` is the domain, `subject` the user's id.

    UUIDs, aware datetimes and enums in `data` become their JSON forms; the request and trace are
    those of the current task unless given. Raises TypeError for data that has no JSON form.
    """
    return Event(
        id=uuid4(),
        type=type_,
        version=version,
        source=f"/{source}",
        time=datetime.now(UTC),
        subject=None if subject is None else str(subject),
        requestid=requestid or current_request_id(),
        traceparent=traceparent or current_traceparent(),
        data={str(key): plain(value) for key, value in data.items()},
    )


def read_event(body: bytes) -> Event:
    """Parse a message body; raises UnreadableEventError and nothing else."""
    try:
        event = Event.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "body"
        raise UnreadableEventError(f"{where}: {first['msg']}") from error
    if event.time.tzinfo is None:
        raise UnreadableEventError("time: has no offset")
    return event


def timestamp(value: datetime) -> str:
    """RFC 3339 in UTC with three fraction digits, finer ones cut off; refuses naive times."""
    if value.tzinfo is None:
        raise TypeError("a time without an offset cannot be written; use datetime.now(UTC)")
    utc = value.astimezone(UTC)
    return f"{utc:%Y-%m-%dT%H:%M:%S}.{utc.microsecond // 1000:03d}Z"


def plain(value: Any) -> Any:
    """`value` as JSON types; raises TypeError for what has no form in the contract."""
    if value is None or isinstance(value, str | bool | int | float):
        return value.value if isinstance(value, Enum) else value
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, datetime):
        return timestamp(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    raise TypeError(f"{type(value).__name__} has no JSON form in an event")
