"""An immutable index of entries: which of them match a query, class by class."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from services.content.search.arrays import NO_RANKS, Postings, Ranks, ascending
from services.content.search.entries import Entry, Match, distance_bound
from services.content.search.grams import Grams
from services.content.search.near import NearTerms

#: Sorts after every letter, so `text + _AFTER` ends the range of texts that start with `text`.
_AFTER = "\U0010ffff"


class Segment:
    """Entries in result order; a rank is an index into `entries`."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.entries: Sequence[Entry] = sorted(entries, key=lambda entry: entry.sort_key)
        self.types: NDArray[np.uint8] = np.array(
            [entry.types for entry in self.entries], dtype=np.uint8
        )
        norms = [entry.norm for entry in self.entries]
        order = sorted(range(len(norms)), key=norms.__getitem__)
        self._sorted_norms = [norms[rank] for rank in order]
        self._ranks_by_norm: Ranks = np.array(order, dtype=np.int32)
        later: dict[str, list[int]] = defaultdict(list)
        terms: dict[str, list[int]] = defaultdict(list)
        for rank, norm in enumerate(norms):
            words = norm.split(" ")
            for word in dict.fromkeys(words[1:]):
                later[word].append(rank)
            for term in dict.fromkeys((norm, *words)):
                terms[term].append(rank)
        self._later_words = sorted(later)
        self._ranks_by_word = Postings.of([later[word] for word in self._later_words])
        self._grams = Grams(norms)
        self._near = NearTerms(terms)

    def matching(self, query: str, match: Match) -> Ranks:
        """Ranks of the entries that fit the query in this way, ascending.

        They may fit in a better way too: whoever joins classes leaves out what it has already.
        """
        if match is Match.EXACT:
            first = bisect_left(self._sorted_norms, query)
            return ascending(
                self._ranks_by_norm[first : bisect_right(self._sorted_norms, query, first)]
            )
        if match is Match.PREFIX:
            first, last = _range(self._sorted_norms, query)
            return ascending(self._ranks_by_norm[first:last])
        if match is Match.WORD:
            return ascending(self._ranks_by_word.span(*_range(self._later_words, query)))
        if match is Match.SUBSTRING:
            return self._grams.find(query)
        bound = distance_bound(query)
        # Without an edit the whole name is an exact match and a word a prefix or word match.
        return ascending(self._near.find(query, bound)) if bound else NO_RANKS


def _range(texts: Sequence[str], prefix: str) -> tuple[int, int]:
    """First and last + 1 of the sorted texts that start with `prefix`."""
    first = bisect_left(texts, prefix)
    return first, bisect_left(texts, prefix + _AFTER, first)
