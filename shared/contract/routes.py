"""The table of public routes (routes.toml); knows nothing of the migration or of any app."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

Kind = Literal["read", "write", "stream", "upload", "websocket", "webhook"]
Auth = Literal["public", "user", "tier1", "service_role", "signature"]
Idempotency = Literal["safe", "natural", "key", "event_id", "none"]


@dataclass(frozen=True, slots=True)
class PublicRoute:
    """One route of the client contract."""

    name: str
    method: str
    path: str  # with {parameters}
    service: str
    kind: Kind
    shadow: bool
    auth: Auth
    idempotency: Idempotency
    success: int
    bucket: str


@dataclass(frozen=True, slots=True)
class Alias:
    """An old path prefix that means a new one."""

    prefix: str
    target: str


class PublicRoutes(Mapping[str, PublicRoute]):
    """All public routes by name, with the aliases of old paths."""

    def __init__(self, routes: Mapping[str, PublicRoute], aliases: tuple[Alias, ...] = ()) -> None:
        self._routes = dict(routes)
        self.aliases = aliases

    def __getitem__(self, name: str) -> PublicRoute:
        return self._routes[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._routes)

    def __len__(self) -> int:
        return len(self._routes)


def parse_routes(document: Mapping[str, Any]) -> PublicRoutes:
    """Routes of a parsed routes.toml; TypeError or ValueError on unknown keys and double names."""
    routes: dict[str, PublicRoute] = {}
    for entry in document.get("route", ()):
        route = PublicRoute(**entry)
        if route.name in routes:
            raise ValueError(f"route {route.name} stands twice in the contract")
        routes[route.name] = route
    return PublicRoutes(routes, tuple(Alias(**entry) for entry in document.get("alias", ())))


@cache
def public_routes() -> PublicRoutes:
    """The contract that is shipped with this package."""
    text = files("shared.contract").joinpath("routes.toml").read_text("utf-8")
    return parse_routes(tomllib.loads(text))
