"""Every rule that is held against servers and tables before a split starts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from migrate.split.boundary import Boundary, Mention, Trigger, UsedType, mentions
from migrate.split.catalogue import Column, Table
from migrate.split.crossing import CrossingKey, Fate, fate
from migrate.split.findings import Finding, Weight, refusals, sorted_findings
from migrate.split.names import Side, TableName
from migrate.split.server_rules import judge_servers
from migrate.split.servers import ServerFacts
from migrate.split.setup import deletion_events, owned_tables, split_spec
from migrate.split.statements import SeenStatement, find_crossing
from migrate.split.switch_plan import switch_plan
from migrate.split.table_rules import judge_tables, judge_unowned
from shared.manifest import load_manifest

GOOD = ServerFacts(
    version=150010, system_identifier="1", database="a", database_oid=1, wal_level="logical", max_slots=10,
    used_slots=0, max_senders=10, used_senders=0, max_apply_workers=4, used_apply_workers=0, max_workers=8,
    max_slot_wal_keep="10GB", deadlock_timeout="1s", retry_ms=500, data_directory=None, encoding="UTF8", collation="C",
    ctype="C", role="app", is_superuser=True, can_replicate=True, bypasses_rls=True, can_create=True,
    has_managed_subscriptions=False, in_subscription_role=False, can_signal=True, prepared_transactions=0,
)  # fmt: skip
PLAIN = Column("id", "uuid", "uuid", "b", "U", "", "", True, False, "", "")
TABLE = Table(
    1,
    TableName("public", "t"),
    "r",
    "p",
    "d",
    False,
    0,
    0,
    0,
    "me",
    False,
    False,
    ("id",),
    True,
    (PLAIN,),
)
EMPTY = Boundary({TABLE.name: TABLE}, (), (), (), (), (), (), (), ())
KEY = CrossingKey(
    "k", TableName("public", "t"), TableName("public", "users"), ("user_id",), ("uuid",), ("id",), "cascade",
    "FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE", True, True,
)  # fmt: skip


def server_checks(
    own: dict[str, Any] | None = None, shared: dict[str, Any] | None = None
) -> dict[str, Weight]:
    facts = {
        Side.SHARED: replace(GOOD, **(shared or {})),
        Side.OWN: replace(GOOD, system_identifier="2", **(own or {})),
    }
    return {finding.check: finding.weight for finding in judge_servers(facts)}


def table_checks(boundary: Boundary = EMPTY, **options: Any) -> dict[str, Weight]:
    given = {"bypasses_row_security": True, "deletion_events": {}} | options
    return {finding.check: finding.weight for finding in judge_tables(boundary, **given)}


def with_table(**changes: Any) -> Boundary:
    return replace(EMPTY, tables={TABLE.name: replace(TABLE, **changes)})


def test_two_good_servers_give_no_reason_to_refuse() -> None:
    assert set(server_checks().values()) == {Weight.INFO}


@pytest.mark.parametrize(
    ("changes", "check", "weight"),
    [
        ({"wal_level": "replica"}, "wal_level", Weight.REFUSE),
        ({"version": 140005}, "version", Weight.REFUSE),
        ({"used_slots": 9}, "slots", Weight.REFUSE),
        ({"used_senders": 8}, "senders", Weight.REFUSE),
        ({"used_apply_workers": 4}, "apply_workers", Weight.REFUSE),
        ({"max_slot_wal_keep": "-1"}, "slot_wal_unbounded", Weight.WARN),
        ({"retry_ms": 5000}, "slow_worker_start", Weight.INFO),
        ({"prepared_transactions": 1}, "prepared_transactions", Weight.WARN),
        ({"is_superuser": False, "can_replicate": False}, "replication_role", Weight.REFUSE),
        ({"is_superuser": False}, "subscription_right", Weight.REFUSE),
        ({"is_superuser": False, "has_managed_subscriptions": True}, "reduced_rights", Weight.WARN),
        ({"can_create": False}, "create_right", Weight.REFUSE),
        ({"encoding": "LATIN1"}, "encoding", Weight.REFUSE),
        ({"collation": "de_DE.UTF-8"}, "collation", Weight.WARN),
    ],
)
def test_a_server_is_judged(changes: dict[str, Any], check: str, weight: Weight) -> None:
    assert server_checks(own=changes)[check] is weight


def test_an_older_own_server_and_one_cluster_are_told() -> None:
    assert server_checks(shared={"version": 160000})["version_pair"] is Weight.WARN
    assert server_checks(shared={"system_identifier": "2"})["one_cluster"] is Weight.INFO


def test_a_role_with_the_hosts_subscription_functions_may_subscribe() -> None:
    assert "subscription_right" not in server_checks(
        own={"is_superuser": False, "has_managed_subscriptions": True}
    )
    granted = {"is_superuser": False, "version": 160001, "in_subscription_role": True}
    assert "subscription_right" not in server_checks(own=granted, shared={"version": 160001})


@pytest.mark.parametrize(
    ("boundary", "check", "weight"),
    [
        (with_table(has_replica_identity=False, primary_key=()), "replica_identity", Weight.REFUSE),
        (with_table(replica_identity="f"), "replica_identity_full", Weight.WARN),
        (with_table(primary_key=(), replica_identity="i"), "no_primary_key", Weight.WARN),
        (with_table(persistence="u"), "table_unlogged", Weight.REFUSE),
        (with_table(kind="f"), "table_kind", Weight.REFUSE),
        (with_table(is_partition=True), "partition_leaf", Weight.REFUSE),
        (with_table(kind="p", has_children=True), "partition_names", Weight.INFO),
        (with_table(has_children=True), "inheritance", Weight.REFUSE),
        (
            with_table(columns=(replace(PLAIN, is_generated=True),)),
            "generated_columns",
            Weight.INFO,
        ),
        (
            replace(EMPTY, triggers=(Trigger("t", "x", "A", "f()"),)),
            "trigger_in_replication",
            Weight.WARN,
        ),
        (
            replace(EMPTY, triggers=(Trigger("t", "split_log_x", "O", "f()"),)),
            "delete_log_elsewhere",
            Weight.WARN,
        ),
        (replace(EMPTY, views=(Mention("v", "v", "t"),)), "view", Weight.WARN),
        (replace(EMPTY, functions=(Mention("f()", "sql", "t"),)), "function", Weight.WARN),
        (
            replace(EMPTY, shared_sequences=(Mention("s", "sequence", ""),)),
            "sequence_shared",
            Weight.WARN,
        ),
        (replace(EMPTY, large_objects=("t.photo",)), "large_object", Weight.REFUSE),
        (replace(EMPTY, publications=("everything",)), "publication_elsewhere", Weight.WARN),
        (replace(EMPTY, crossing_keys=(KEY,)), "crossing_key_outgoing", Weight.INFO),
        (
            replace(EMPTY, crossing_keys=(replace(KEY, child_moves=False),)),
            "crossing_key_incoming",
            Weight.INFO,
        ),
        (
            replace(EMPTY, crossing_keys=(replace(KEY, on_delete="restrict"),)),
            "crossing_key_outgoing",
            Weight.WARN,
        ),
    ],
)
def test_a_table_is_judged(boundary: Boundary, check: str, weight: Weight) -> None:
    assert table_checks(boundary)[check] is weight


def test_a_plain_table_gives_no_findings() -> None:
    assert table_checks() == {}


def test_row_security_is_refused_to_a_role_that_it_would_hide_rows_from() -> None:
    boundary = with_table(has_row_security=True)
    assert table_checks(boundary)["row_security"] is Weight.INFO
    assert table_checks(boundary, bypasses_row_security=False)["row_security"] is Weight.REFUSE


def test_an_extension_that_the_own_server_lacks_is_refused() -> None:
    boundary = replace(EMPTY, types=(UsedType("vector", "b", "vector"),))
    assert table_checks(boundary, target_extensions=frozenset({"vector"})) == {}
    assert table_checks(boundary, target_extensions=frozenset())["extension"] is Weight.REFUSE


def test_the_function_of_a_tables_own_trigger_is_no_stranger() -> None:
    boundary = replace(
        EMPTY,
        functions=(Mention("touch()", "plpgsql", "t"),),
        triggers=(Trigger("t", "x", "O", "touch()"),),
    )
    assert table_checks(boundary) == {}


def test_what_a_crossing_key_becomes() -> None:
    assert fate(KEY, {"users": "user.deleted"}) is Fate.EVENT
    assert fate(KEY, {}) is Fate.LOOSE
    assert fate(replace(KEY, on_delete="no action"), {}) is Fate.CHECK
    assert KEY.restore_sql.endswith("NOT VALID")


def test_a_table_is_mentioned_only_as_a_word_of_its_own() -> None:
    name = TableName("public", "messages")
    assert mentions("SELECT 1 FROM Messages", name)
    assert mentions("public.messages", name)
    assert not mentions("SELECT 1 FROM room_messages", name)
    assert not mentions("messages2", name)


def test_tables_of_nobody_are_named() -> None:
    assert [finding.subject for finding in judge_unowned(["a", "b"], {"a": "chat"})] == ["b"]


def test_findings_are_sorted_by_weight() -> None:
    findings = [
        Finding("x", weight, "s", "m") for weight in (Weight.INFO, Weight.REFUSE, Weight.WARN)
    ]
    assert [f.weight for f in sorted_findings(findings)] == [
        Weight.REFUSE,
        Weight.WARN,
        Weight.INFO,
    ]
    assert len(refusals(findings)) == 1


def test_statements_over_a_boundary_are_found_with_owners_and_calls() -> None:
    owners = {"messages": "chat", "users": "auth"}
    statements = [
        SeenStatement(
            "SELECT * FROM messages m JOIN users u ON u.id = m.user_id", 5, 0, 1.0, ("app",)
        ),
        SeenStatement("SELECT * FROM messages WHERE id = $1", 50, 0, 1.0, ("app",)),
        SeenStatement("INSERT INTO messages SELECT * FROM users", 7, 0, 1.0, ("app",)),
        SeenStatement("INSERT INTO messages SELECT * FROM inbox", 9, 0, 1.0, ("app",)),
        SeenStatement("SELECT FROM WHERE", 1, 0, 1.0, ("app",)),
    ]
    crossing, unparsed = find_crossing(statements, owners, frozenset({"inbox"}))
    assert [(entry.statement.calls, entry.owners, entry.writes) for entry in crossing] == [
        (7, ("auth", "chat"), ("messages",)),
        (5, ("auth", "chat"), ()),
    ]
    assert unparsed == 1


def test_the_manifest_gives_tables_rows_of_everybodys_tables_and_deletion_events() -> None:
    manifest = load_manifest()
    spec = split_spec(manifest, "chat")
    by_name = {str(table.name): table.row_filter for table in spec.tables}
    assert by_name == {
        "conversations": None, "messages": None, "message_reactions": None, "inbox": "consumer = 'chat'",
    }  # fmt: skip
    assert deletion_events(manifest)["users"] == "user.deleted"
    assert owned_tables(manifest).owners["messages"] == "chat"


def test_the_point_of_no_return_is_the_fence_and_what_it_needs_comes_before_it() -> None:
    for direction in ("forward", "reverse"):
        plan = switch_plan(direction)  # type: ignore[arg-type]
        names = plan.names
        assert plan.decides == "fence"
        order = ["ready", "gate", "lock", "token", "applied", "flush", "fence", "open", "place", "stop_following",
                 "skip_echo", "follow_back", "armed", "proof", "forget_slot"]  # fmt: skip
        assert sorted(order, key=names.index) == order
