from __future__ import annotations

import random
from uuid import UUID
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migrate.seed.catalogue import read_catalogue
from services.content.search.entries import Entry, Found, Kind, Match, Type
from services.content.search.index import SearchIndex
from shared.contract.norm import norm
from tests.unit.content import definition

TYPES = {
    Kind.TITLE: (
        Type.MOVIE,
        Type.SERIES,
        Type.MOVIE | Type.ANIME,
        Type.SERIES | Type.CARTOON,
    ),
    Kind.CHARACTER: (Type.CHARACTER,),
    Kind.ACTOR: (Type.ACTOR,),
}


def entry(name: str, popularity: float = 1.0, kind: Kind = Kind.TITLE, number: int = 0) -> Entry:
    identity = str(UUID(int=number or crc32(f"{kind}{name}".encode())))
    return Entry(kind, identity, norm(name), name, popularity, TYPES[kind][0])


def names(found: list[Found]) -> list[tuple[str, Match]]:
    return [(hit.entry.name, hit.match) for hit in found]


def test_classes_come_in_the_order_of_the_contract() -> None:
    index = SearchIndex(
        entry(name)
        for name in ("Batman", "Batman Returns", "The Batman", "Wombatmania", "Catman", "Superman")
    )
    assert names(index.search("batman", None, 0, 10)) == [
        ("Batman", Match.EXACT),
        ("Batman Returns", Match.PREFIX),
        ("The Batman", Match.WORD),
        ("Wombatmania", Match.SUBSTRING),
        ("Catman", Match.FUZZY),
    ]


def test_a_class_counts_more_than_any_popularity() -> None:
    index = SearchIndex([entry("Up", 1.0), entry("Upgrade", 99.0)])
    assert [hit.entry.name for hit in index.search("UP", None, 0, 10)] == ["Up", "Upgrade"]


def test_ties_fall_to_norm_then_kind_then_id() -> None:
    rows = [
        entry("Alfa B", 1.0, Kind.ACTOR, 1),
        entry("alfa a", 1.0, Kind.ACTOR, 9),
        entry("Alfa A", 1.0, Kind.CHARACTER, 5),
        entry("Alfa A", 1.0, Kind.CHARACTER, 4),
        entry("Alfa C", 2.0, Kind.ACTOR, 2),
    ]
    found = SearchIndex(rows).search("alfa", None, 0, 10)
    assert [hit.entry for hit in found] == [rows[4], rows[3], rows[2], rows[1], rows[0]]


@pytest.mark.parametrize(
    ("query", "name", "match"),
    [
        ("neo", "Neon", Match.PREFIX),
        ("nio", "Neo", None),
        ("trin", "Trinity", Match.PREFIX),
        ("tron", "Tran", Match.FUZZY),
        ("matrxi", "Matrix", None),  # a swap of neighbours is two edits
        ("matrix", "Matrixx Reloaded", Match.PREFIX),
        ("matirx reloaded", "Matrix Reloaded", Match.FUZZY),
        ("spiderman", "Spider-Man", Match.FUZZY),
        ("spider man", "Spiderman Begins", Match.FUZZY),
        ("spiderman", "The Amazing Spider-Man", None),
        ("lord of", "The Lord of the Rings", Match.SUBSTRING),
        ("amelie", "Amélie", Match.EXACT),
        ("AMÉLIE!", "Le destin d'Amelie", Match.WORD),
        ("godzila", "Shin Godzilla", Match.FUZZY),
        ("千", "千と千尋の神隠し", Match.PREFIX),
        ("神隠", "千と千尋の神隠し", Match.SUBSTRING),
    ],
)
def test_single_matches(query: str, name: str, match: Match | None) -> None:
    found = SearchIndex([entry(name)]).search(query, None, 0, 5)
    assert names(found) == ([(name, match)] if match is not None else [])


def test_a_query_without_letters_and_digits_finds_nothing() -> None:
    index = SearchIndex([entry("Anything"), entry("!!!")])
    assert index.search("?!", None, 0, 10) == []


def test_an_empty_index_finds_nothing() -> None:
    assert SearchIndex().search("anything", None, 0, 10) == []


def random_entries(rnd: random.Random, count: int, letters: str) -> list[Entry]:
    rows = []
    for number in range(count):
        kind = rnd.choice(list(Kind))
        name = " ".join(
            "".join(rnd.choices(letters, k=rnd.randint(1, 9))) for _ in range(rnd.randint(1, 4))
        )
        rows.append(
            Entry(
                kind,
                str(UUID(int=number)),
                norm(name),
                name,
                rnd.choice([0.0, 1.0, 2.5]),
                rnd.choice(TYPES[kind]),
            )
        )
    return rows


def typo(rnd: random.Random, text: str) -> str:
    place = rnd.randrange(len(text) + 1)
    letter = rnd.choice("abcex ")
    return rnd.choice(
        [
            text[:place] + letter + text[place:],
            text[:place] + letter + text[place + 1 :],
            text[:place] + text[place + 1 :],
        ]
    )


def queries(rnd: random.Random, entries: list[Entry], count: int) -> list[str]:
    made = []
    for _ in range(count):
        name = rnd.choice(entries).norm or "a"
        start = rnd.choice([0, 0, rnd.randrange(len(name))])
        text = name[start : start + rnd.randint(1, 14)]
        for _ in range(rnd.choice([0, 0, 1, 2])):
            text = typo(rnd, text)
        made.append(text or "a")
    return made


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(["ab", "abcde", "aàbßcé9", "abc神隠し"]))
def test_the_index_agrees_with_the_definition_on_random_names(seed: int, letters: str) -> None:
    rnd = random.Random(seed)
    entries = random_entries(rnd, rnd.randint(1, 60), letters)
    index = SearchIndex(entries)
    for query in queries(rnd, entries, 12):
        kind = rnd.choice([None, *Type])
        expected = definition.search(entries, norm(query), kind)
        assert index.search(query, kind, 0, 1000) == expected
        offset, count = rnd.randint(0, 20), rnd.randint(1, 20)
        assert index.search(query, kind, offset, count) == expected[offset : offset + count]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_the_index_agrees_with_the_definition_after_any_changes(seed: int) -> None:
    rnd = random.Random(seed)
    entries = random_entries(rnd, 40, "abcde")
    live = {row.key: row for row in entries[:20]}
    index = SearchIndex(live.values())
    for _ in range(rnd.randint(1, 6)):
        changed = rnd.sample(random_entries(rnd, 40, "abcde"), rnd.randint(0, 8))
        removed = rnd.sample(sorted(live), min(len(live), rnd.randint(0, 5)))
        changed = [row for row in changed if row.key not in removed]
        index.change(changed, removed)
        for key in removed:
            del live[key]
        live.update({row.key: row for row in changed})
        assert len(index) == len(live)
        assert index.keys() == set(live)
        for query in queries(rnd, entries, 6):
            expected = definition.search(live.values(), norm(query), None)
            assert index.search(query, None, 0, 1000) == expected


def test_the_index_agrees_with_the_definition_on_the_shipped_catalogue() -> None:
    catalogue = read_catalogue()
    entries = [entry(title.title, title.popularity, Kind.TITLE, n) for n, title in
               enumerate(catalogue.titles, start=1)]  # fmt: skip
    entries += [entry(actor.name, actor.popularity, Kind.ACTOR, n) for n, actor in
                enumerate(catalogue.actors, start=1)]  # fmt: skip
    index = SearchIndex(entries)
    rnd = random.Random(7)
    for query in queries(rnd, entries, 40):
        assert index.search(query, None, 0, 10_000) == definition.search(entries, norm(query), None)


def test_many_changes_are_sealed_into_one_segment_without_a_visible_difference() -> None:
    rnd = random.Random(3)
    entries = random_entries(rnd, 1500, "abcdef")
    index = SearchIndex(entries[:100])
    for start in range(100, 1500, 100):
        index.change(entries[start : start + 100])
    for query in queries(rnd, entries, 10):
        assert index.search(query, None, 0, 2000) == definition.search(entries, norm(query), None)


def test_equal_entries_change_nothing() -> None:
    rows = [entry("One"), entry("Two")]
    index = SearchIndex(rows)
    assert index.change([entry("One")]) is False
    assert index.change([], [(Kind.ACTOR, "nobody")]) is False
    assert index.change([], [rows[0].key]) is True
    assert len(index) == 1


def test_all_matches_of_a_type_come_by_popularity_then_id_descending() -> None:
    rows = [
        entry("Ann Lee", 1.0, Kind.ACTOR, 1),
        entry("Joan", 9.0, Kind.ACTOR, 2),
        entry("Anna", 1.0, Kind.ACTOR, 3),
        entry("Ann", 5.0, Kind.CHARACTER, 4),
    ]
    found = SearchIndex(rows).matching("ann", Type.ACTOR)
    assert found == [rows[2], rows[0]]
