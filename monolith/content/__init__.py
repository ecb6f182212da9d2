"""The catalogue: search, movies, series, characters, actors; owns titles, characters, actors."""

from __future__ import annotations

from collections.abc import Sequence

from monolith.content import resources, search
from monolith.content.handlers import HANDLERS
from monolith.content.index import CatalogueIndex
from monolith.content.router import router
from monolith.context import Part
from monolith.domain import Domain
from monolith.settings import Settings

__all__ = ["DOMAIN", "resources", "search"]


def parts(_settings: Settings) -> Sequence[Part]:
    return (CatalogueIndex(),)


DOMAIN = Domain("content", router, parts, HANDLERS)
