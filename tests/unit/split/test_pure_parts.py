"""Names, filters, pieces, sequences, hits, throttle: what decides without asking anybody."""

from __future__ import annotations

import itertools

import hypothesis.strategies as st
import pytest
from hypothesis import given

from migrate.split.catalogue import Storage
from migrate.split.chunks import BLOCK_BYTES, plan_chunks
from migrate.split.connection import without_secrets
from migrate.split.fence import create_trigger_sql, trigger_names
from migrate.split.fence_hits import WORDS, decode_hit
from migrate.split.gate import predict
from migrate.split.model import Endpoint, MovedTable, SplitError, SplitSpec
from migrate.split.names import Direction, Names, Side, TableName, literal, quote
from migrate.split.old_tables import OLD, old_name
from migrate.split.publication import peer_conninfo
from migrate.split.row_filter import RowFilterError, qualify
from migrate.split.scratch import on_database
from migrate.split.sequences import SequenceValue, targets
from migrate.split.silence import Counters
from migrate.split.throttle import Throttle


def storage(pages: int, toast: int = 0, rows: int = 0, name: str = "t") -> Storage:
    return Storage(1, 2, TableName("public", name), 7, pages * BLOCK_BYTES, toast, pages, rows)


def test_names_of_two_projects_on_one_server_differ() -> None:
    first = Names.of("chat", "1/2/shared", "1/3/own")
    second = Names.of("chat", "1/4/shared", "1/5/own")
    assert first.slot(Direction.FORWARD) != second.slot(Direction.FORWARD)
    assert first.slot(Direction.FORWARD) != first.slot(Direction.REVERSE)


@given(st.from_regex(r"[a-z][a-z0-9_]{0,39}", fullmatch=True))
def test_every_name_fits_into_postgresql(service: str) -> None:
    names = Names.of(service, "a", "b")
    for name in (names.schema, names.fence_trigger + "_new", *(names.slot(d) for d in Direction)):
        assert len(name) <= 63


@given(st.text(alphabet=st.characters(blacklist_categories=["Cs"], blacklist_characters="\x00")))
def test_quoting_survives_any_text(text: str) -> None:
    assert quote(text).startswith('"')
    assert quote(text)[1:-1].replace('""', "").count('"') == 0
    body = literal(text).strip().removeprefix("E")
    assert body[1:-1].replace("''", "").replace("\\\\", "").count("'") == 0


def test_a_zero_byte_is_no_string() -> None:
    with pytest.raises(ValueError, match="zero byte"):
        literal("a\x00b")


def test_a_row_filter_is_looked_up_in_the_row_of_the_trigger() -> None:
    assert (
        qualify("consumer = 'chat' AND kind <> 'x'", "new")
        == "new.consumer = 'chat' AND new.kind <> 'x'"
    )
    assert qualify("lower(a) = b", "old") == "lower(old.a) = old.b"


@pytest.mark.parametrize(
    "condition",
    [
        "a = 1; DROP TABLE x",
        "a =",
        "a IN (SELECT 1)",
        "t.a = 1",
        "1) OR (1",
        "a = 1 LIMIT 5",
        "a = 1 UNION SELECT 2",
    ],
)
def test_a_row_filter_that_is_more_than_a_condition_is_refused(condition: str) -> None:
    with pytest.raises(RowFilterError):
        qualify(condition, "new")


def test_a_filtered_table_is_fenced_row_by_row_and_a_whole_one_by_statement() -> None:
    names = Names.of("chat", "a", "b")
    whole = create_trigger_sql(names, MovedTable(TableName("public", "t")))
    assert "TRUNCATE" in whole
    assert "FOR EACH STATEMENT" in whole
    filtered = MovedTable(TableName("public", "inbox"), "consumer = 'chat'")
    sql = create_trigger_sql(names, filtered)
    assert sql.count("FOR EACH ROW") == 2
    assert "new.consumer = 'chat'" in sql
    assert "old.consumer = 'chat'" in sql
    assert len(trigger_names(names, filtered)) == 2


def test_a_service_without_tables_has_nothing_to_split() -> None:
    with pytest.raises(SplitError):
        SplitSpec.of("chat", [])


@given(st.integers(0, 50_000), st.integers(0, 10**9), st.integers(10**6, 10**8))
def test_pieces_cover_every_page_once_and_the_last_one_has_no_end(
    pages: int, toast: int, size: int
) -> None:
    chunks = sorted(plan_chunks([storage(pages, toast, 1000)], size), key=lambda c: c.first_page)
    assert chunks[0].first_page == 0
    assert chunks[-1].end_page is None
    for one, two in itertools.pairwise(chunks):
        assert one.end_page == two.first_page


def test_the_largest_pieces_come_first() -> None:
    sizes = [
        c.estimated_bytes for c in plan_chunks([storage(10, name="a"), storage(9000, name="b")])
    ]
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize(
    ("last", "increment", "minimum", "maximum", "cycles", "expected"),
    [
        (10, 1, 1, 2**63 - 1, False, 1010),
        (-10, -1, -(2**63), -1, False, -1010),
        (None, 1, 1, 100, False, None),
        (95, 1, 1, 100, False, 100),
        (95, 1, 1, 100, True, 95),
        (10, 5, 1, 10**6, False, 5010),
    ],
)
def test_a_sequence_goes_on_beyond_what_may_have_been_drawn(
    last: int | None, increment: int, minimum: int, maximum: int, cycles: bool, expected: int | None
) -> None:
    value = SequenceValue(TableName("public", "s"), last, increment, minimum, maximum, cycles)
    assert value.advanced(1000) == expected
    assert targets([value], 1000) == (
        ([] if expected is None else ['"public"."s"']), ([] if expected is None else [expected])
    )  # fmt: skip


def test_a_hit_is_read_back_from_the_words_of_its_sequences() -> None:
    text = "\x1f".join(
        ["cron/nightly", "app", "public.messages", "INSERT", "INSERT INTO messages …"]
    )
    raw = text.encode().ljust(WORDS * 8, b"\0")
    values = {
        f"hit_0_w{word}": int.from_bytes(raw[word * 8 : word * 8 + 8], "big", signed=True)
        for word in range(WORDS)
    }
    hit = decode_hit(
        0, values | {"hit_0_count": 2, "hit_0_pid": 77, "hit_0_at": 1_700_000_000_000_000}
    )
    assert (hit.application, hit.user, hit.table, hit.operation) == (
        "cron/nightly", "app", "public.messages", "INSERT",
    )  # fmt: skip
    assert hit.query == "INSERT INTO messages …"
    assert (hit.hits, hit.pid, hit.seen_at.year) == (3, 77, 2023)


def test_a_prediction_adds_lock_fence_two_trips_and_a_flush() -> None:
    prediction = predict([2.0, 3.0, 10.0], [5.0, 6.0, 7.0], [1.0, 1.0, 4.0])
    assert (prediction.usual_ms, prediction.unlucky_ms) == (13.0, 31.0)


def test_scans_of_the_apply_worker_are_no_reads() -> None:
    before = Counters(sequential=3, others=5, by_key=100, changes=100)
    assert Counters(3, 5, 140, 140).reads_since(before) == 0
    assert Counters(3, 5, 143, 140).reads_since(before) == 3
    assert Counters(4, 6, 140, 140).reads_since(before) == 2
    assert Counters(0, 0, 0, 0).reads_since(before) == 1  # the statistics were reset


def test_the_name_of_an_old_table_fits_and_is_recognised() -> None:
    for name in ("messages", "x" * 63):
        old = old_name(name, "20250131")
        assert len(old) <= 63
        found = OLD.match(old)
        assert found is not None
        assert name.startswith(found["name"])


def test_the_address_for_the_peer_notices_a_dead_server_and_no_policy_hides_rows() -> None:
    conninfo = peer_conninfo("postgres://u:p%40x@h:1/d?sslmode=require", bypass_row_security=True)
    assert conninfo.startswith("postgresql://u:p%40x@h:1/d?")
    assert "sslmode=require" in conninfo
    assert "keepalives_idle=10" in conninfo
    assert "-crow_security%3Doff" in conninfo
    assert "+" not in conninfo


def test_no_password_gets_into_a_message() -> None:
    endpoint = Endpoint(Side.OWN, "postgresql://u:secret@h/d")
    assert "secret" not in repr(endpoint)
    for text in (
        "could not connect to postgresql://u:secret@h/d",
        "connection to postgresql://u:secret@other/x failed",
        "password=secret host=h",
        "password='a secret' host=h",
    ):
        assert "secret" not in without_secrets(text, endpoint)


def test_another_database_of_the_same_server_keeps_the_peers_address() -> None:
    endpoint = on_database(Endpoint(Side.OWN, "postgresql://u@h/d", "postgresql://u@inner/d"), "x")
    assert (endpoint.dsn, endpoint.peer_dsn) == ("postgresql://u@h/x", "postgresql://u@inner/x")


def test_a_throttle_without_a_rate_never_waits() -> None:
    throttle = Throttle()
    assert all(throttle.delay(10**9, now) == 0.0 for now in (1.0, 1.0, 1.0))


def test_a_throttle_lets_a_second_s_worth_of_bytes_through_in_a_second() -> None:
    throttle = Throttle(bytes_per_second=100.0)
    start = 10_000_000.0
    waits = [throttle.delay(50, start) for _ in range(4)]
    assert waits == [0.0, 0.5, 1.0, 1.5]


def test_a_busy_source_halves_the_rate_and_a_quiet_one_gives_it_back() -> None:
    throttle = Throttle(busy_ms=20.0)
    assert throttle.bytes_per_second is None
    throttle.observe_commit(50.0)
    slowed = throttle.bytes_per_second
    assert slowed is not None
    throttle.observe_commit(50.0)
    halved = throttle.bytes_per_second
    assert halved == slowed / 2
    for _ in range(100):
        throttle.observe_commit(1.0)
    assert throttle.bytes_per_second is None
