"""SQL ownership: which tables a statement touches, and what a service may do with them."""

from __future__ import annotations

import pytest

from shared.placement.ownership import TableGrants, table_use, violations

CHAT = TableGrants.of(["conversations", "messages", "outbox", "inbox"], ["users", "user_tiers"])


@pytest.mark.parametrize(
    ("sql", "reads", "writes"),
    [
        ("SELECT * FROM a JOIN b USING (id) WHERE EXISTS (SELECT 1 FROM c)", "a b c", ""),
        ("WITH n AS (SELECT 1 AS id) INSERT INTO a SELECT * FROM n, b", "b", "a"),
        ("WITH m AS (INSERT INTO a SELECT 1 RETURNING id) SELECT * FROM m", "", "a"),
        ("WITH RECURSIVE t AS (SELECT 1 UNION ALL SELECT * FROM t, a) SELECT * FROM t", "a", ""),
        ("WITH a AS (SELECT * FROM a) SELECT * FROM a", "a", ""),
        ("UPDATE a SET x = (SELECT y FROM b) FROM c WHERE a.id = c.id", "b c", "a"),
        ("DELETE FROM a USING b WHERE a.id = b.id", "b", "a"),
        ("MERGE INTO a USING b ON a.id = b.id WHEN MATCHED THEN DELETE", "b", "a"),
        ("SELECT * FROM a AS x JOIN b ON true FOR UPDATE OF x", "a b", "a"),
        ("SELECT * FROM a JOIN b ON true FOR UPDATE SKIP LOCKED", "a b", "a b"),
        ("SELECT * FROM generate_series(1, 2), pg_class, information_schema.tables", "", ""),
        ("SELECT * FROM public.a, strangler.flags", "a strangler.flags", ""),
        ("COPY a FROM STDIN", "", "a"),
        ("COPY (SELECT * FROM a) TO STDOUT", "a", ""),
        ("TRUNCATE a, b", "", "a b"),
        ("LOCK TABLE a IN SHARE MODE", "", "a"),
        ("EXPLAIN SELECT * FROM a", "a", ""),
        ("SELECT quota_reserve($1, $2, $3, $4, $5)", "", ""),
        ("BEGIN", "", ""),
        ("SELECT 1; DELETE FROM a", "", "a"),
    ],
)
def test_the_tables_of_a_statement_are_found(sql: str, reads: str, writes: str) -> None:
    use = table_use(sql)
    assert use.reads - use.writes == set(reads.split()) - set(writes.split())
    assert use.writes == set(writes.split())
    assert use.refused == ()


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("INSERT INTO messages (id) VALUES ($1)", ()),
        ("SELECT * FROM users JOIN conversations ON true", ()),
        ("UPDATE users SET email = $1", ("writes users",)),
        ("SELECT * FROM subscriptions", ("reads subscriptions",)),
        ("SELECT 1 FROM users FOR UPDATE", ("writes users",)),
        ("CREATE TABLE x (id int)", ("runs CREATE",)),
        ("DO $$ BEGIN DELETE FROM users; END $$", ("runs DO",)),
        ("ALTER TABLE messages DISABLE TRIGGER ALL", ("runs ALTERTABLE",)),
    ],
)
def test_a_service_may_only_touch_its_tables(sql: str, expected: tuple[str, ...]) -> None:
    assert violations(sql, CHAT) == expected


def test_sql_that_cannot_be_parsed_is_refused() -> None:
    (found,) = violations("SELEC 1", CHAT)
    assert "cannot be parsed" in found


@pytest.mark.parametrize(
    "sql",
    [
        "SET search_path = other",
        "RESET ALL",
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
        "LISTEN news",
        "SELECT pg_advisory_lock(1)",
        "WITH held AS (SELECT pg_try_advisory_lock(1)) SELECT 1 FROM held",
        "SELECT set_config('a.b', '1', false)",
        "SELECT set_config('a.b', '1', $1)",
        "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
    ],
)
def test_nothing_may_stay_in_the_session_of_a_pooled_connection(sql: str) -> None:
    assert violations(sql, TableGrants()) != ()


@pytest.mark.parametrize(
    "sql",
    [
        "SET LOCAL lock_timeout = '1s'",
        "SET TRANSACTION READ ONLY",
        "SELECT pg_advisory_xact_lock(1)",
        "SELECT set_config('a.b', $1, true)",
        "DECLARE c CURSOR FOR SELECT 1",
    ],
)
def test_what_ends_with_the_transaction_is_allowed(sql: str) -> None:
    assert violations(sql, TableGrants()) == ()
