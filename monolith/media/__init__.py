"""Images: generated, analysed, uploaded; owns media_metadata and the stored bytes."""

from __future__ import annotations

from monolith.domain import Domain, no_parts
from monolith.media import library, making
from monolith.media.handlers import HANDLERS
from monolith.media.router import router

__all__ = ["DOMAIN", "library", "making"]

DOMAIN = Domain("media", router, no_parts, HANDLERS)
