"""Figures fed by events: users, streaks, conversations, the whole product; owns their tables."""

from __future__ import annotations

from monolith.analytics import figures, ingest, platform, streaks
from monolith.analytics.handlers import HANDLERS
from monolith.analytics.router import router
from monolith.domain import Domain, no_parts

__all__ = ["DOMAIN", "figures", "ingest", "platform", "streaks"]

DOMAIN = Domain("analytics", router, no_parts, HANDLERS)
