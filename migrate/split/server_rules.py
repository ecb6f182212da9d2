"""Rules about the two servers and the tool's role on them; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from migrate.split.findings import Finding, Weight
from migrate.split.names import Side
from migrate.split.servers import ServerFacts, on_one_cluster

REFUSE, WARN, INFO = Weight.REFUSE, Weight.WARN, Weight.INFO

#: Slots, senders and workers that a split needs free on each server, at most.
NEEDED_SLOTS = 2
NEEDED_SENDERS = 3
NEEDED_WORKERS = 1
#: Above this a switch that needs a new apply worker visibly waits for one; writers do not.
GOOD_RETRY_MS = 1000


def judge_servers(facts: Mapping[Side, ServerFacts]) -> list[Finding]:
    """What each server lacks, and what the pair of them means."""
    found: list[Finding] = []
    for side, server in facts.items():
        found += _settings(side, server)
        found += _role(side, server)
    found += _pair(facts[Side.SHARED], facts[Side.OWN])
    return found


def _settings(side: Side, server: ServerFacts) -> Iterator[Finding]:
    name = f"{side} server"
    if server.version < 150_000:
        yield Finding(
            "version", REFUSE, name, f"is PostgreSQL {server.major}; row filters and statistics of"
            " subscriptions need 15", "upgrade it",
        )  # fmt: skip
    if server.wal_level != "logical":
        yield Finding(
            "wal_level", REFUSE, name,
            f"has wal_level = {server.wal_level}; following, and following back, needs logical",
            "ALTER SYSTEM SET wal_level = logical, then restart it (a few seconds)",
        )  # fmt: skip
    for check, free, need, setting in (
        ("slots", server.max_slots - server.used_slots, NEEDED_SLOTS, "max_replication_slots"),
        ("senders", server.max_senders - server.used_senders, NEEDED_SENDERS, "max_wal_senders"),
        (
            "apply_workers",
            server.max_apply_workers - server.used_apply_workers,
            NEEDED_WORKERS,
            "max_logical_replication_workers",
        ),
    ):
        if free < need:
            yield Finding(
                check, REFUSE, name, f"has {free} free of {setting}, {need} are needed",
                f"raise {setting} and restart it, or remove what is not used",
            )  # fmt: skip
    if server.max_slot_wal_keep == "-1":
        yield Finding(
            "slot_wal_unbounded", WARN, name,
            "has max_slot_wal_keep_size = -1: a slot that nobody reads fills the disk",
            "set it to what the disk can spare; the tool stops a copy before that",
        )  # fmt: skip
    if server.retry_ms > GOOD_RETRY_MS:
        yield Finding(
            "slow_worker_start", INFO, name,
            f"has wal_retrieve_retry_interval = {server.retry_ms} ms: following starts that much"
            " later after each change of direction; writers do not wait for it",
            "ALTER SYSTEM SET wal_retrieve_retry_interval = '500ms', then SELECT pg_reload_conf()",
        )  # fmt: skip
    if server.prepared_transactions:
        yield Finding(
            "prepared_transactions", WARN, name,
            f"has {server.prepared_transactions} prepared transactions: slots and locks wait for them",
            "COMMIT PREPARED or ROLLBACK PREPARED",
        )  # fmt: skip


def _role(side: Side, server: ServerFacts) -> Iterator[Finding]:
    name = f"role {server.role} on the {side} server"
    if not (server.is_superuser or server.can_replicate):
        yield Finding(
            "replication_role",
            REFUSE,
            name,
            "may not replicate",
            f"ALTER ROLE {server.role} REPLICATION",
        )
    if not server.can_create:
        yield Finding(
            "create_right", REFUSE, name, "may not create schemas",
            f"GRANT CREATE ON DATABASE {server.database} TO {server.role}",
        )  # fmt: skip
    if not server.can_subscribe:
        yield Finding(
            "subscription_right", REFUSE, name,
            "may not create subscriptions, which both sides need (there and back)",
            "use a superuser, on 16 and newer grant pg_create_subscription, on a hosted server its"
            " subscription functions",
        )  # fmt: skip
    if not server.is_superuser:
        yield Finding(
            "reduced_rights", WARN, name,
            "is no superuser: " + "; ".join(reduced_rights(server)),
        )  # fmt: skip


def reduced_rights(server: ServerFacts) -> list[str]:
    """What the tool cannot do here without superuser rights, in words."""
    missing = [
        "deadlock_timeout stays as it is, so a fence attempt that meets a deadlock costs writers up"
        " to the lock timeout",
        "rows are copied before foreign keys and triggers exist, and the own side is guarded only"
        " after the copy",
        "the address of the peer may appear in the server's log",
    ]
    if not server.can_cancel_autovacuum:
        missing.append(
            "autovacuum is not asked to leave: set autovacuum_enabled = off on the tables for the"
            " time of the switch"
        )
    return missing


def _pair(shared: ServerFacts, own: ServerFacts) -> Iterator[Finding]:
    if shared.encoding != own.encoding:
        yield Finding(
            "encoding", REFUSE, "own database", f"has encoding {own.encoding}, the shared one {shared.encoding}",
            "create it with the same encoding",
        )  # fmt: skip
    if (shared.collation, shared.ctype) != (own.collation, own.ctype):
        yield Finding(
            "collation", WARN, "own database",
            f"sorts by {own.collation}, the shared one by {shared.collation}: text sorts and compares"
            " differently",
        )  # fmt: skip
    if own.major < shared.major:
        yield Finding(
            "version_pair", WARN, "own server", f"is PostgreSQL {own.major}, the shared one {shared.major}:"
            " newer features of the schema may be missing",
        )  # fmt: skip
    if shared.major != own.major or min(shared.major, own.major) < 16:
        yield Finding(
            "origin_filter", INFO, "servers", "changes are kept from coming back by slot positions, because"
            " origin = none needs 16 on both sides",
        )  # fmt: skip
    if on_one_cluster(shared, own):
        yield Finding(
            "one_cluster",
            INFO,
            "servers",
            "are one and the same: WAL, slots and workers are shared",
        )
