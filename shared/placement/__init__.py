"""Database access of a service: which database owns its tables, and transactions that follow a move."""

from shared.placement.connection import Connection, Pool
from shared.placement.database import Database
from shared.placement.errors import (
    DatabaseUnavailableError,
    OwnershipError,
    PlacementError,
    PlacementUnknownError,
    TablesMovedError,
)
from shared.placement.ownership import TableGrants, violations
from shared.placement.pools import Pools, PoolSettings, ServiceGrants, Side, open_pool, open_pools
from shared.placement.source import FixedPlacement, PlacementSource, WatchedPlacement

__all__ = [
    "Connection",
    "Database",
    "DatabaseUnavailableError",
    "FixedPlacement",
    "OwnershipError",
    "PlacementError",
    "PlacementSource",
    "PlacementUnknownError",
    "Pool",
    "PoolSettings",
    "Pools",
    "ServiceGrants",
    "Side",
    "TableGrants",
    "TablesMovedError",
    "WatchedPlacement",
    "open_pool",
    "open_pools",
    "violations",
]
