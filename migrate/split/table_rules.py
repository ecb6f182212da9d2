"""Rules about tables and what hangs on them; pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from migrate.split.boundary import Boundary
from migrate.split.catalogue import Table
from migrate.split.crossing import LOG_TRIGGER, Fate, fate
from migrate.split.findings import Finding, Weight

REFUSE, WARN, INFO = Weight.REFUSE, Weight.WARN, Weight.INFO


def judge_tables(
    boundary: Boundary,
    *,
    bypasses_row_security: bool,
    deletion_events: Mapping[str, str],
    target_extensions: frozenset[str] | None = None,
) -> list[Finding]:
    """Everything about the tables that an operator must know before they move.

    `target_extensions`: extensions that the own server could install; None when unknown.
    """
    found: list[Finding] = []
    for table in boundary.tables.values():
        found += _kind(table)
        found += _identity(table)
        found += _row_security(table, bypasses_row_security)
        found += _columns(table)
    found += _triggers(boundary)
    found += _keys(boundary, deletion_events)
    found += _dependents(boundary)
    found += _types(boundary, target_extensions)
    return found


def _kind(table: Table) -> Iterator[Finding]:
    name = str(table.name)
    if table.kind not in ("r", "p"):
        yield Finding(
            "table_kind", REFUSE, name, "is not an ordinary table", "take it out of the list"
        )
    if table.persistence != "p":
        yield Finding(
            "table_unlogged", REFUSE, name, "is not logged, so it cannot be replicated",
            f"ALTER TABLE {table.name.sql} SET LOGGED, or leave it behind",
        )  # fmt: skip
    if table.is_partition:
        yield Finding(
            "partition_leaf",
            REFUSE,
            name,
            "is a partition of another table",
            "name its parent instead",
        )
    if table.kind == "p":
        yield Finding(
            "partition_names", INFO, name,
            "is partitioned: it is published under its own name, so the partitions may differ on the"
            " own database",
        )  # fmt: skip
    elif table.has_children:
        yield Finding(
            "inheritance", REFUSE, name, "has child tables by inheritance",
            "turn them into partitions first",
        )  # fmt: skip


def _identity(table: Table) -> Iterator[Finding]:
    name = str(table.name)
    if not table.has_replica_identity:
        yield Finding(
            "replica_identity", REFUSE, name,
            "has no primary key or replica identity: publishing it would break its UPDATE and DELETE"
            " at once",
            "add a primary key; REPLICA IDENTITY FULL is the last resort",
        )  # fmt: skip
    elif table.replica_identity == "f":
        yield Finding(
            "replica_identity_full", WARN, name,
            "has REPLICA IDENTITY FULL: before PostgreSQL 16 every applied change scans the table",
            "add a primary key",
        )  # fmt: skip
    if not table.primary_key and table.has_replica_identity:
        yield Finding(
            "no_primary_key", WARN, name, "has no primary key: differences are shown by whole rows"
        )


def _row_security(table: Table, bypasses: bool) -> Iterator[Finding]:
    if not table.has_row_security:
        return
    if bypasses:
        yield Finding(
            "row_security", INFO, str(table.name),
            "has row security; the tool's role sees every row, policies move along",
        )  # fmt: skip
    else:
        yield Finding(
            "row_security", REFUSE, str(table.name),
            "has row security and the tool's role does not bypass it: rows would be left out in silence",
            "use a role with BYPASSRLS or a superuser",
        )  # fmt: skip


def _columns(table: Table) -> Iterator[Finding]:
    generated = [column.name for column in table.columns if column.is_generated]
    if generated:
        yield Finding(
            "generated_columns", INFO, str(table.name),
            f"computes {', '.join(generated)} again on the own database",
        )  # fmt: skip


def _triggers(boundary: Boundary) -> Iterator[Finding]:
    for trigger in boundary.triggers:
        if trigger.name.startswith(LOG_TRIGGER):
            yield Finding(
                "delete_log_elsewhere", WARN, f"{trigger.table}.{trigger.name}",
                "logs deletions for a service that has moved out before: it will not see those that"
                " are made after the cutover",
                "announce deletions by an event, or carry them over by hand",
            )  # fmt: skip
        if trigger.enabled in ("A", "R"):
            word = "ALWAYS" if trigger.enabled == "A" else "REPLICA"
            yield Finding(
                "trigger_in_replication", WARN, f"{trigger.table}.{trigger.name}",
                f"is ENABLE {word}: it fires for replicated rows too, a second time on the follower",
                "make it an ordinary trigger",
            )  # fmt: skip


def _keys(boundary: Boundary, events: Mapping[str, str]) -> Iterator[Finding]:
    for key in boundary.crossing_keys:
        becomes = fate(key, events)
        message = {
            Fate.EVENT: f"is dropped at the cutover; event {events.get(str(key.parent), '')} announces deletions",
            Fate.LOOSE: "is dropped at the cutover; a delete log and `migrate db clean` replace it",
            Fate.CHECK: "is dropped at the cutover; nothing refuses wrong values or deletions any more",
        }[becomes]
        weight = WARN if becomes is Fate.CHECK else INFO
        direction = "outgoing" if key.is_outgoing else "incoming"
        yield Finding(f"crossing_key_{direction}", weight, key.name, f"({key}) {message}")


def _dependents(boundary: Boundary) -> Iterator[Finding]:
    for view in boundary.views:
        kind = "materialized view" if view.kind == "m" else "view"
        yield Finding(
            "view", WARN, view.name, f"is a {kind} over {view.table}, which moves: it would show old rows",
            "ask the owner's route instead, or let it go",
        )  # fmt: skip
    ours = {trigger.function for trigger in boundary.triggers}
    for function in boundary.functions:
        if function.name not in ours:
            yield Finding(
                "function", WARN, function.name, f"mentions {function.table}, which moves",
                "see whether it still works without it",
            )  # fmt: skip
    for sequence in boundary.shared_sequences:
        yield Finding(
            "sequence_shared", WARN, sequence.name,
            "is drawn from by tables on both sides of the boundary: numbers will not be unique",
            "give each table a sequence of its own",
        )  # fmt: skip
    for column in boundary.large_objects:
        yield Finding(
            "large_object", REFUSE, column,
            "may hold large objects, which logical replication does not carry",
            "store the bytes in a bytea column or outside; REFERENCES by oid do not survive a move",
        )  # fmt: skip
    for publication in boundary.publications:
        yield Finding(
            "publication_elsewhere", WARN, publication,
            "publishes a table that moves: its subscribers will see no changes after the cutover",
            "tell its owner",
        )  # fmt: skip


def _types(boundary: Boundary, available: frozenset[str] | None) -> Iterator[Finding]:
    for extension in sorted({used.extension for used in boundary.types if used.extension}):
        if available is not None and extension not in available:
            yield Finding(
                "extension", REFUSE, extension, "is used by a column and cannot be installed on the own server",
                "install its package there",
            )  # fmt: skip


def judge_unowned(everything: Iterable[str], owners: Mapping[str, str]) -> list[Finding]:
    """Tables of the database that nobody owns; `owners`: table -> service or `shared`."""
    return [
        Finding(
            "unowned_table", WARN, name, "has no owner: nobody moves it and nobody guards it",
            "give it to a service or to the platform in migration.toml",
        )
        for name in everything
        if name not in owners
    ]  # fmt: skip
