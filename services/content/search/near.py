"""Terms within a few edits of a text, found exactly: a cheap filter in numpy, then real distances.

Every term has a signature of 64 bits: per letter slot one bit for "occurs" and one for "occurs
twice". Inserting or deleting a letter changes at most one bit and replacing one at most two, so
terms whose signatures differ in more than two bits per allowed edit cannot be near.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from rapidfuzz import process
from rapidfuzz.distance import Levenshtein

from services.content.search.arrays import NO_RANKS, Postings, Ranks

Signatures = NDArray[np.uint64]

_SLOTS = 32  # two bits each
_LETTERS = 26  # a … z have slots of their own; everything else shares the remaining six
_BITS_PER_EDIT = 2


class NearTerms:
    """Whole names and their words, with the ranks of the entries they belong to."""

    def __init__(self, ranks_of_term: Mapping[str, Sequence[int]]) -> None:
        self._terms = sorted(ranks_of_term, key=len)
        self._postings = Postings.of([ranks_of_term[term] for term in self._terms])
        lengths = [len(term) for term in self._terms]
        longest = lengths[-1] if lengths else 0
        self._starts = np.searchsorted(lengths, np.arange(longest + 2)).tolist()
        self._signatures = signatures(self._terms)

    def find(self, text: str, distance: int) -> Ranks:
        """Ranks of the entries with a term at most `distance` edits away; unordered, repeated."""
        first = self._start(len(text) - distance)
        last = self._start(len(text) + distance + 1)
        if first == last:
            return NO_RANKS
        differing = np.bitwise_count(self._signatures[first:last] ^ signature(text))
        places = (np.flatnonzero(differing <= _BITS_PER_EDIT * distance) + first).tolist()
        if not places:
            return NO_RANKS
        distances = process.cdist(
            [text],
            [self._terms[place] for place in places],
            scorer=Levenshtein.distance,
            score_cutoff=distance,
            dtype=np.uint8,
        )[0]
        return self._postings.several(places[i] for i in np.flatnonzero(distances <= distance))

    def _start(self, length: int) -> int:
        """Where the terms of a length begin, for any length."""
        place: int = self._starts[min(max(length, 0), len(self._starts) - 1)]
        return place


def signature(text: str) -> np.uint64:
    """The signature of one text."""
    bits = 0
    for character in text:
        code = ord(character)
        is_letter = ord("a") <= code < ord("a") + _LETTERS
        slot = code - ord("a") if is_letter else _LETTERS + code % (_SLOTS - _LETTERS)
        bits |= 1 << (slot + _SLOTS if bits >> slot & 1 else slot)
    return np.uint64(bits)


def signatures(terms: Sequence[str]) -> Signatures:
    """The signatures of many texts at once."""
    codes = np.frombuffer("".join(terms).encode("utf-32-le"), dtype="<u4").astype(np.int64)
    is_letter = (codes >= ord("a")) & (codes < ord("a") + _LETTERS)
    slots = np.where(is_letter, codes - ord("a"), _LETTERS + codes % (_SLOTS - _LETTERS))
    numbers = np.repeat(np.arange(len(terms)), [len(term) for term in terms])
    counts = np.bincount(numbers * _SLOTS + slots, minlength=len(terms) * _SLOTS)
    counts = counts.reshape(len(terms), _SLOTS)
    bits = np.concatenate([counts >= 1, counts >= 2], axis=1)
    weights = np.left_shift(np.uint64(1), np.arange(2 * _SLOTS, dtype=np.uint64))
    found: Signatures = (bits * weights).sum(axis=1, dtype=np.uint64)
    return found
