"""What the manifest says about one service, as data for a split; pure."""

from __future__ import annotations

from collections.abc import Mapping

from migrate.split.inspect import Owned
from migrate.split.model import SplitError, SplitSpec
from migrate.split.names import TableName
from shared.manifest import Manifest, Service

#: Tables with a copy in every database of which a service's own rows move along: without its inbox a
#: service would handle an event twice that it had handled before the switch.
ROWS_OF_A_SERVICE: Mapping[str, str] = {"inbox": "consumer = '{service}'"}


def split_spec(manifest: Manifest, service: str) -> SplitSpec:
    """The tables of a service, and its rows of tables that everybody has; raises SplitError."""
    entry = moving_service(manifest, service)
    filters = {
        table: ROWS_OF_A_SERVICE[table].format(service=service)
        for table in manifest.platform.everywhere_tables
        if table in ROWS_OF_A_SERVICE
    }
    return SplitSpec.of(
        service,
        entry.tables,
        row_filters=filters,
        deletion_events=deletion_events(manifest),
    )


def moving_service(manifest: Manifest, service: str) -> Service:
    """A service whose tables get a database of their own; raises SplitError."""
    entry = manifest.services.get(service)
    moving = ", ".join(row.name for row in manifest.moving_services()) or "none"
    if entry is None:
        raise SplitError(f"there is no service {service!r} in the manifest; these move: {moving}")
    if entry.placement != "own":
        raise SplitError(
            f"the tables of {service} stay in the shared database (placement in the manifest);"
            f" these move: {moving}"
        )
    return entry


def deletion_events(manifest: Manifest) -> dict[str, str]:
    """Table -> event that announces that a row of it was deleted.

    By name: `user.deleted` is about `users`, `media.deleted` about the one table of its service.
    """
    found: dict[str, str] = {}
    for service in manifest.services.values():
        for event in service.publishes:
            stem, _, verb = event.rpartition(".")
            if verb != "deleted":
                continue
            for table in service.tables:
                if table in (stem, f"{stem}s") or service.tables == (table,):
                    found[table] = event
    return found


def owned_tables(manifest: Manifest) -> Owned:
    """Every table that the manifest gives to somebody."""
    tables = {
        name: tuple(TableName.parse(table) for table in service.tables)
        for name, service in manifest.services.items()
    }
    tables["platform"] = tuple(TableName.parse(table) for table in manifest.platform.shared_tables)
    return Owned(tables, frozenset(manifest.platform.everywhere_tables))
