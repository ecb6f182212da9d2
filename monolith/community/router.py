"""The router that the modules of this domain add their routes to."""

from __future__ import annotations

from monolith.routes import DomainRouter

router = DomainRouter("community")
