from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime

import pytest

from migrate.seed.load_people import make_rows
from migrate.seed.people.circle import Circle, Part, make_circle
from migrate.seed.people.figures import Metrics, runs_of_days
from migrate.seed.people.rows import COLUMNS, Rows

UNTIL = datetime(2025, 6, 1, tzinfo=UTC)
CAST = [Part(f"Hero {number}", f"Film {number % 7}") for number in range(60)]


def circle(seed: int = 1, number: int = 0, count: int = 60) -> Circle:
    return make_circle(seed, number, count, until=UNTIL, cast=CAST, password_hash="none")


def made(seed: int = 1, number: int = 0) -> tuple[Rows, Metrics]:
    metrics: Metrics = Counter()
    return make_rows(circle(seed, number), metrics), metrics


def column(rows: Rows, table: str, name: str) -> list[object]:
    place = COLUMNS[table].index(name)
    return [row[place] for row in rows[table]]


def test_the_same_seed_makes_the_same_rows() -> None:
    assert made(7) == made(7)


def test_another_seed_and_another_circle_make_other_people() -> None:
    first, second, third = made(7)[0], made(8)[0], made(7, 1)[0]
    for table in ("users", "messages", "stories"):
        ids = [set(column(rows, table, "id")) for rows in (first, second, third)]
        assert not ids[0] & ids[1]
        assert not ids[0] & ids[2]
    assert not set(column(first, "users", "email")) & set(column(third, "users", "email"))


def test_every_table_is_filled_and_every_row_has_every_column() -> None:
    rows, _ = made()
    for table, columns in COLUMNS.items():
        assert rows[table], table
        assert {len(row) for row in rows[table]} == {len(columns)}


def test_nothing_happens_before_its_account_or_after_the_end() -> None:
    rows, _ = made()
    born = dict(zip(column(rows, "users", "id"), column(rows, "users", "created_at"), strict=True))
    for table in ("conversations", "stories", "story_likes", "scenarios", "community_votes"):
        owner = "creator_id" if table == "scenarios" else "user_id"
        for user, at in zip(
            column(rows, table, owner), column(rows, table, "created_at"), strict=True
        ):
            assert born[user] <= at < UNTIL  # type: ignore[operator]
    assert max(column(rows, "messages", "created_at")) < UNTIL  # type: ignore[type-var]


def test_a_conversation_counts_its_messages_and_tokens() -> None:
    rows, _ = made()
    messages: Counter[object] = Counter(column(rows, "messages", "conversation_id"))
    tokens: Counter[object] = Counter()
    for conversation, spent in zip(
        column(rows, "messages", "conversation_id"), column(rows, "messages", "tokens"), strict=True
    ):
        tokens[conversation] += int(spent or 0)  # type: ignore[call-overload]
    for row in rows["conversations"]:
        fields = dict(zip(COLUMNS["conversations"], row, strict=True))
        assert fields["message_count"] == fields["last_seq"] == messages[fields["id"]]
        assert fields["token_count"] == tokens[fields["id"]]
        assert (fields["conversation_type"] == "single") == (fields["character_name"] is not None)


def test_the_platforms_figures_are_the_sums_of_what_people_did() -> None:
    rows, metrics = made()
    sums: Counter[str] = Counter()
    for (_, metric), value in metrics.items():
        sums[metric] += value
    roles = Counter(column(rows, "messages", "role"))
    assert sums["messages"] == roles["user"]
    assert sums["new_users"] == len(rows["users"])
    assert sums["stories_published"] == sum(map(bool, column(rows, "stories", "published")))
    assert sums["revenue"] == sum(column(rows, "payment_transactions", "amount"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("days", "runs"),
    [([1], [1]), ([1, 2, 3], [3]), ([1, 3, 4], [1, 2]), ([28, 29, 31], [2, 1])],
)
def test_runs_of_days(days: list[int], runs: list[int]) -> None:
    assert runs_of_days([date(2025, 1, day) for day in days]) == runs
