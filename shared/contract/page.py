"""The form of every list (public contract, 1.8)."""

from __future__ import annotations

from typing import Generic, TypeVar

from shared.contract.values import WireModel

T = TypeVar("T")


class Page(WireModel, Generic[T]):
    """`Page[Story](items=..., next_cursor=..., has_more=...)`."""

    items: tuple[T, ...]
    next_cursor: str | None
    has_more: bool
