from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.content.search.near import NearTerms, signature, signatures
from tests.unit.content.definition import levenshtein

TEXTS = st.text(alphabet="abcxyz019 éß神", max_size=12)


@given(st.lists(TEXTS.filter(bool), min_size=1, max_size=8))
def test_one_signature_is_as_many_at_once(texts: list[str]) -> None:
    assert [signature(text) for text in texts] == signatures(texts).tolist()


@given(TEXTS, TEXTS)
def test_an_edit_changes_at_most_two_bits(left: str, right: str) -> None:
    differing = (int(signature(left)) ^ int(signature(right))).bit_count()
    assert differing <= 2 * levenshtein(left, right)


@given(st.sets(TEXTS.filter(bool), min_size=1, max_size=30), TEXTS, st.integers(1, 2))
def test_exactly_the_near_terms_are_found(terms: set[str], text: str, distance: int) -> None:
    numbered = sorted(terms)
    found = NearTerms({term: [place] for place, term in enumerate(numbered)}).find(text, distance)
    near = {p for p, term in enumerate(numbered) if levenshtein(term, text) <= distance}
    assert set(found.tolist()) == near
