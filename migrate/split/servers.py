"""Reads what a server and the tool's role on it can do; decides nothing."""

from __future__ import annotations

from dataclasses import dataclass

from migrate.split.connection import Connection

#: Functions by which hosted PostgreSQL lets a role without superuser rights manage subscriptions.
MANAGED_SCHEMA = "supabase_subscription_mgmt"

FACTS = """
SELECT current_setting('server_version_num')::int AS version,
  (SELECT system_identifier::text FROM pg_control_system()) AS system_identifier,
  current_database() AS database,
  (SELECT oid::bigint FROM pg_database WHERE datname = current_database()) AS database_oid,
  current_setting('wal_level') AS wal_level,
  current_setting('max_replication_slots')::int AS max_slots,
  (SELECT count(*)::int FROM pg_replication_slots) AS used_slots,
  current_setting('max_wal_senders')::int AS max_senders,
  (SELECT count(*)::int FROM pg_stat_replication) AS used_senders,
  current_setting('max_logical_replication_workers')::int AS max_apply_workers,
  (SELECT count(*)::int FROM pg_stat_subscription WHERE pid IS NOT NULL) AS used_apply_workers,
  current_setting('max_worker_processes')::int AS max_workers,
  current_setting('max_slot_wal_keep_size') AS max_slot_wal_keep,
  current_setting('deadlock_timeout') AS deadlock_timeout,
  (SELECT setting::int FROM pg_settings WHERE name = 'wal_retrieve_retry_interval') AS retry_ms,
  (SELECT setting FROM pg_settings WHERE name = 'data_directory') AS data_directory,
  pg_encoding_to_char(d.encoding) AS encoding, d.datcollate AS collation, d.datctype AS ctype,
  r.rolname AS role, r.rolsuper AS is_superuser, r.rolreplication AS can_replicate,
  r.rolbypassrls AS bypasses_rls,
  has_database_privilege(current_database(), 'CREATE') AS can_create,
  to_regnamespace($1) IS NOT NULL AS has_managed_subscriptions,
  coalesce((SELECT pg_has_role(oid, 'member') FROM pg_roles
            WHERE rolname = 'pg_create_subscription'), false) AS in_subscription_role,
  coalesce((SELECT pg_has_role(oid, 'member') FROM pg_roles
            WHERE rolname = 'pg_signal_backend'), false) AS can_signal,
  (SELECT count(*)::int FROM pg_prepared_xacts) AS prepared_transactions
FROM pg_database d, pg_roles r
WHERE d.datname = current_database() AND r.rolname = current_user
"""


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """One server as the tool's role sees it. Versions as in server_version_num."""

    version: int
    system_identifier: str | None
    database: str
    database_oid: int
    wal_level: str
    max_slots: int
    used_slots: int
    max_senders: int
    used_senders: int
    max_apply_workers: int
    used_apply_workers: int
    max_workers: int
    max_slot_wal_keep: str
    deadlock_timeout: str
    retry_ms: int  # least time between two starts of apply workers; before 16 of all together
    data_directory: str | None
    encoding: str
    collation: str
    ctype: str
    role: str
    is_superuser: bool
    can_replicate: bool
    bypasses_rls: bool
    can_create: bool
    has_managed_subscriptions: bool
    in_subscription_role: bool
    can_signal: bool
    prepared_transactions: int

    @property
    def major(self) -> int:
        return self.version // 10_000

    @property
    def identity(self) -> str:
        """System identifier and database: equal only for one and the same database."""
        return f"{self.system_identifier}/{self.database_oid}/{self.database}"

    @property
    def can_subscribe(self) -> bool:
        """Whether the role can create subscriptions, itself or by the host's functions."""
        return (
            self.is_superuser
            or (self.major >= 16 and self.in_subscription_role and self.can_create)
            or self.has_managed_subscriptions
        )

    @property
    def can_be_replica(self) -> bool:
        """Whether sessions may set session_replication_role, deadlock_timeout and log settings."""
        return self.is_superuser

    @property
    def can_cancel_autovacuum(self) -> bool:
        return self.is_superuser or self.can_signal


async def read_facts(connection: Connection) -> ServerFacts:
    """One reading of the server behind a connection."""
    row = await connection.fetchrow(FACTS, MANAGED_SCHEMA)
    if row is None:  # the role or database vanished under the connection
        raise LookupError("the server does not know the current role or database")
    return ServerFacts(**dict(row))


def on_one_cluster(first: ServerFacts, second: ServerFacts) -> bool:
    """Whether two databases are in one server process, and share WAL, slots and workers."""
    return (
        first.system_identifier is not None and first.system_identifier == second.system_identifier
    )
