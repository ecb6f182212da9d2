"""Value formats of the public contract (1.7): ids, timestamps, texts, numbers; pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sized
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Annotated, Any
from uuid import UUID

from annotated_types import GroupedMetadata
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    StringConstraints,
    model_validator,
)

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")


def timestamp_text(moment: datetime) -> str:
    """RFC 3339 in UTC with three fraction digits, finer ones cut off: `2025-01-31T12:00:00.000Z`."""
    moment = moment.astimezone(UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def _aware(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("needs an offset, like 2025-01-31T12:00:00Z")
    return moment.astimezone(UTC)


def _hyphenated(value: object) -> object:
    if isinstance(value, str) and not _UUID.fullmatch(value):
        raise ValueError("must be a UUID")
    return value


def _whole(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("must be a whole number")  # noqa: TRY004 - pydantic wants ValueError
    if isinstance(value, str):
        if not _INTEGER.fullmatch(value.strip()):
            raise ValueError("must be a whole number")
        return int(value)
    return value


def _no_nul(value: str) -> str:
    if "\x00" in value:
        raise ValueError("must not contain the character NUL")  # PostgreSQL cannot store it
    return value


def _rfc3339_text(value: object) -> object:
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str) or not _RFC3339.fullmatch(value.strip()):
        raise ValueError("must be a timestamp with an offset, like 2025-01-31T12:00:00Z")
    return value.strip()


#: A UUID; written lower case with hyphens, read only with hyphens.
Id = Annotated[UUID, BeforeValidator(_hyphenated)]
#: A moment; written as timestamp_text, read with any RFC 3339 offset.
Timestamp = Annotated[
    datetime,
    BeforeValidator(_rfc3339_text),
    AfterValidator(_aware),
    PlainSerializer(timestamp_text, return_type=str),
]
#: A UTC day, `2025-01-31`.
Day = date
#: An integer; may arrive as a decimal string.
Integer = Annotated[int, BeforeValidator(_whole)]


def check_json(value: object) -> None:
    """ValueError if free JSON holds what PostgreSQL cannot store: the character NUL."""
    if isinstance(value, str):
        _no_nul(value)
    elif isinstance(value, dict):
        for name, item in value.items():
            check_json(name)
            check_json(item)
    elif isinstance(value, list):
        for item in value:
            check_json(item)


@dataclass(frozen=True, slots=True)
class Text(GroupedMetadata):
    """Constraints of a text: trimmed, then counted in Unicode code points.

    >>> class Talk(RequestModel):
    ...     message: Annotated[str, Text(1, 4000)]
    """

    min_length: int = 0
    max_length: int | None = None
    pattern: str | None = None
    trimmed: bool = True  # False for passwords

    def __iter__(self) -> Iterator[object]:
        yield StringConstraints(
            strip_whitespace=self.trimmed,
            min_length=self.min_length,
            max_length=self.max_length,
            pattern=self.pattern,
        )
        yield AfterValidator(_no_nul)


@dataclass(frozen=True, slots=True)
class Items(GroupedMetadata):
    """How many items a list may have; a list with a bad item is only told about the item.

    >>> ids: Annotated[tuple[Id, ...], Items(1, 100)]
    """

    min_length: int = 0
    max_length: int | None = None

    def __iter__(self) -> Iterator[object]:
        yield AfterValidator(self._count)

    def _count(self, value: Sized) -> Sized:
        if len(value) < self.min_length:
            raise ValueError(f"needs at least {self.min_length} item(s)")
        if self.max_length is not None and len(value) > self.max_length:
            raise ValueError(f"may have at most {self.max_length} item(s)")
        return value


class WireModel(BaseModel):
    """A JSON object of an answer: frozen, every field always present."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        ser_json_inf_nan="null",
        validate_by_name=True,
        validate_by_alias=True,
        protected_namespaces=(),
    )


class RequestModel(BaseModel):
    """A JSON object of a request: unknown fields are ignored, null means left out."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    @model_validator(mode="before")
    @classmethod
    def _drop_nulls(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: item for name, item in value.items() if item is not None}
        return value


class ChangeModel(BaseModel):
    """A request where a left-out field means unchanged and null means cleared (1.7).

    `model.model_fields_set` names the fields that were sent.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")
