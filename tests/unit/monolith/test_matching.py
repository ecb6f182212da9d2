"""Classes and order of matches (contract, 2.4), against a plain reading of the definition."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from monolith.content.matching import CLASSES, Entry, Names, distance_bound, norm
from shared.contract.norm import norm as contract_norm

WORDS = st.sampled_from(["ana", "anna", "banana", "nana", "the", "dark", "knight", "x", "darkly"])
NAMES = st.lists(WORDS, min_size=1, max_size=3).map(" ".join)


def entry(name: str, number: int = 0, popularity: float = 1.0, kind: int = 0) -> Entry:
    types = frozenset({("movie", "character", "actor")[kind]})
    return Entry(norm(name), kind, f"{number:032d}", name, None, None, popularity, types)


def edits(left: str, right: str) -> int:
    """Levenshtein distance by the textbook."""
    row = list(range(len(right) + 1))
    for i, a in enumerate(left, start=1):
        previous, row[0] = row[0], i
        for j, b in enumerate(right, start=1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (a != b))
    return row[-1]


def class_by_definition(query: str, name: str) -> str | None:
    words = name.split(" ")
    if name == query:
        return "exact"
    if name.startswith(query):
        return "prefix"
    if any(word.startswith(query) for word in words[1:]):
        return "word"
    if query in name:
        return "substring"
    if min(edits(query, text) for text in (name, *words)) <= distance_bound(query):
        return "fuzzy"
    return None


@settings(max_examples=300, deadline=None)
@given(st.lists(NAMES, max_size=12), st.one_of(NAMES, WORDS, st.text("ankdr ", min_size=1)))
def test_every_entry_is_found_in_the_class_of_the_definition(names: list[str], text: str) -> None:
    query = norm(text)
    entries = [entry(name, number, float(number % 3)) for number, name in enumerate(names)]
    found = [(hit.match, hit.entry) for hit in Names(entries).find(query)]
    wanted = [
        (kind, e)
        for e in entries
        if query and (kind := class_by_definition(query, e.norm)) is not None
    ]
    wanted.sort(
        key=lambda pair: (CLASSES.index(pair[0]), -pair[1].popularity, pair[1].norm, pair[1].id)
    )
    assert found == wanted


@given(st.text(max_size=40))
def test_norm_is_the_rule_of_the_contract(text: str) -> None:
    assert norm(text) == contract_norm(text)


def test_a_query_of_punctuation_finds_nothing() -> None:
    assert list(Names([entry("Ana")]).find(norm("?!"))) == []


def test_a_type_leaves_other_kinds_out() -> None:
    names = Names([entry("Ana", 1, kind=0), entry("Ana", 2, kind=1)])
    assert [hit.entry.kind for hit in names.find("ana", "character")] == [1]


def test_kind_decides_between_equal_names_of_equal_popularity() -> None:
    names = Names([entry("Ana", 1, kind=2), entry("Ana", 2, kind=0), entry("Ana", 3, kind=1)])
    assert [hit.entry.kind for hit in names.find("ana")] == [0, 1, 2]
