"""Norm of a text (contract, 2.4): what search compares instead of the text itself; pure.

Every writer of `title_norm` and `name_norm` and every reader of a query uses this one rule.
"""

from __future__ import annotations

import unicodedata
from itertools import groupby


def norm(text: str) -> str:
    """NFKD, combining marks removed, case folded, other runs than letters and digits one space.

    >>> norm("  Amélie: Le Fabuleux Destin… ")
    'amelie le fabuleux destin'
    """
    if text.isascii():  # nothing to decompose, no marks
        plain = text.lower()
    else:
        decomposed = unicodedata.normalize("NFKD", text)
        plain = "".join(c for c in decomposed if not _is_mark(c)).casefold()
    runs = groupby(plain, key=str.isalnum)
    return " ".join("".join(run) for is_word, run in runs if is_word)


def _is_mark(character: str) -> bool:
    """A combining mark: general category M (Unicode Standard, 3.6, D52)."""
    return unicodedata.category(character)[0] == "M"
