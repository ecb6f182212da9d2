"""How single values look on the wire: ids, times, texts, numbers; knows no table and no route."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    StringConstraints,
)

UUID_TEXT = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Wire(BaseModel):
    """A JSON object that goes out or comes in; unknown fields are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())


def format_timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC with three fraction digits; finer digits are cut off (contract, 1.7)."""
    utc = moment.astimezone(UTC)
    return f"{utc:%Y-%m-%dT%H:%M:%S}.{utc.microsecond // 1000:03d}Z"


def microseconds(moment: datetime) -> int:
    """Microseconds since 1970, exact."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def parse_timestamp(value: object) -> datetime:
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str) or RFC3339.fullmatch(value.strip()) is None:
        raise ValueError("must be an RFC 3339 time with an offset")
    return datetime.fromisoformat(value.strip().upper().replace("Z", "+00:00"))


def _identifier(value: object) -> object:
    if isinstance(value, UUID):
        return value
    if not isinstance(value, str) or UUID_TEXT.fullmatch(value) is None:
        raise ValueError("must be a UUID")
    return value


def _whole(value: object) -> object:
    """Numbers, or decimal digits as text."""
    if isinstance(value, str) and WHOLE.fullmatch(value.strip()):
        return int(value)
    if isinstance(value, bool | str):
        raise ValueError("must be a whole number")  # noqa: TRY004 - pydantic wants ValueError
    return value


def storable(text: str) -> str:
    """PostgreSQL text cannot hold U+0000."""
    if "\x00" in text:
        raise ValueError("must not contain the character U+0000")
    return text


def _json_object(value: dict[str, Any]) -> dict[str, Any]:
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
        text.encode()
    except (ValueError, UnicodeEncodeError, RecursionError) as error:
        raise ValueError("must be plain JSON") from error
    if "\\u0000" in text:
        raise ValueError("must not contain the character U+0000")
    return value


def json_bytes(value: object) -> int:
    """Size of a value as compact UTF-8 JSON."""
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


Timestamp = Annotated[datetime, PlainSerializer(format_timestamp, return_type=str)]
TimestampIn = Annotated[datetime, BeforeValidator(parse_timestamp)]
Identifier = Annotated[UUID, BeforeValidator(_identifier)]
Integer = Annotated[int, BeforeValidator(_whole)]
JsonObject = Annotated[dict[str, Any], AfterValidator(_json_object)]
# Limits are added at the field: Field(min_length=…, max_length=…), counted in code points.
Trimmed = Annotated[str, StringConstraints(strip_whitespace=True), AfterValidator(storable)]
