"""Wire models of the system routes (public contract, 2.8)."""

from __future__ import annotations

from typing import Literal

from shared.contract.values import Timestamp, WireModel


class HealthChecks(WireModel):
    """Whether each dependency of the app answered."""

    database: bool
    redis: bool
    broker: bool


class Health(WireModel):
    """`GET /health`: one app, for itself."""

    status: Literal["healthy", "degraded", "unhealthy"]
    service: str
    version: str
    checks: HealthChecks
    timestamp: Timestamp


DomainState = Literal["ok", "degraded", "down", "read_only", "maintenance"]


class MaintenanceNotice(WireModel):
    """What operators announced."""

    mode: Literal["off", "read_only", "full"]
    scopes: list[str]
    message: str | None
    until: Timestamp | None


class DomainStates(WireModel):
    """The state of every domain."""

    auth: DomainState
    chat: DomainState
    payments: DomainState
    content: DomainState
    media: DomainState
    community: DomainState
    analytics: DomainState


class Status(WireModel):
    """`GET /api/status`: the whole product; `status` is the worst of the domains."""

    status: Literal["ok", "degraded", "down", "maintenance"]
    maintenance: MaintenanceNotice
    domains: DomainStates
    timestamp: Timestamp
