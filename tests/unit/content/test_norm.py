from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contract.norm import norm


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The Matrix", "the matrix"),
        ("  Amélie  ", "amelie"),
        ("Se7en", "se7en"),
        ("WALL·E", "wall e"),
        ("Spider-Man: No Way Home", "spider man no way home"),
        ("Ocean’s Eleven", "ocean s eleven"),
        ("Straße", "strasse"),
        ("ﬁlm Ⅷ ½", "film viii 1 2"),
        ("千と千尋の神隠し", "千と千尋の神隠し"),
        ("İstanbul", "istanbul"),
        ("दंगल", "दगल"),
        ("snake_case", "snake case"),
        ("!!!", ""),
        ("", ""),
    ],
)
def test_norm_of(text: str, expected: str) -> None:
    assert norm(text) == expected


def by_definition(text: str) -> str:
    """Word for word after the contract, 2.4."""
    decomposed = unicodedata.normalize("NFKD", text)
    unmarked = [c for c in decomposed if unicodedata.category(c) not in ("Mn", "Mc", "Me")]
    folded = "".join(unmarked).casefold()
    return " ".join("".join(c if c.isalnum() else " " for c in folded).split(" ")).strip()


@given(st.text(max_size=40))
def test_norm_is_what_the_contract_says(text: str) -> None:
    assert norm(text).split() == by_definition(text).split()
    assert norm(text) == " ".join(norm(text).split(" "))


@given(st.text(alphabet="aAéß .-_9 ß½", max_size=40))
def test_norm_of_a_norm_is_the_norm(text: str) -> None:
    assert norm(norm(text)) == norm(text)
