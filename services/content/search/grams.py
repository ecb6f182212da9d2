"""Names that contain a text: posting lists of all runs of one, two and three characters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from services.content.search.arrays import NO_RANKS, Postings, Ranks

Codes = NDArray[np.int64]

_SEPARATOR = "\n"  # never part of a norm
LONGEST = 3
#: Below this many candidates comparing texts is cheaper than intersecting further lists.
FEW_CANDIDATES = 200
#: Lists that are intersected at most; more than four rarely remove anything.
INTERSECTED = 4


class _Level:
    """Runs of one length: their keys in order, and where each occurs."""

    __slots__ = ("keys", "numbers", "postings")

    def __init__(self, keys: Codes, postings: Postings) -> None:
        self.keys = keys
        self.numbers = {key: number for number, key in enumerate(keys.tolist())}
        self.postings = postings


class Grams:
    """Answers "which names contain this text" for names numbered by rank."""

    def __init__(self, norms: Sequence[str]) -> None:
        self._norms = norms
        text = _SEPARATOR.join(norms)
        codes = np.frombuffer(text.encode("utf-32-le"), dtype="<u4").astype(np.int64)
        lengths = np.fromiter((len(norm) + 1 for norm in norms), np.int64, len(norms))
        self._ranks_at = np.repeat(np.arange(len(norms), dtype=np.int64), lengths)[: len(codes)]
        self._size = max(len(norms), 1)
        alphabet = np.unique(codes)
        self._letters = {letter: number for number, letter in enumerate(alphabet.tolist())}
        letters = _number(codes, alphabet)
        is_inside = codes != ord(_SEPARATOR)
        runs = letters
        self._levels: list[_Level] = [self._level(runs, is_inside)]
        for width in range(2, LONGEST + 1):
            previous = self._levels[-1].keys
            runs = _number(runs[:-1], previous) if width > 2 else runs[:-1]
            runs = runs * len(self._letters) + letters[width - 1 :]
            is_inside = is_inside[:-1] & (codes[width - 1 :] != ord(_SEPARATOR))
            self._levels.append(self._level(runs, is_inside))
        del self._ranks_at  # only needed while building

    def find(self, text: str) -> Ranks:
        """Ranks of the names that contain `text`, ascending."""
        width = min(len(text), LONGEST)
        if width == 0:
            return NO_RANKS
        level = self._levels[width - 1]
        numbers: set[int] = set()
        for start in range(len(text) - width + 1):
            number = self._run(text[start : start + width])
            if number is None:
                return NO_RANKS
            numbers.add(number)
        rarest = sorted(numbers, key=level.postings.count)
        ranks = level.postings.one(rarest[0])
        if len(text) <= LONGEST:
            return ranks
        for number in rarest[1:INTERSECTED]:
            if len(ranks) <= FEW_CANDIDATES:
                break
            ranks = ranks[_is_member(ranks, level.postings.one(number))]
        norms = self._norms
        return np.array([rank for rank in ranks.tolist() if text in norms[rank]], dtype=np.int32)

    def _level(self, runs: Codes, is_inside: NDArray[np.bool_]) -> _Level:
        """Posting lists of the runs that start at the positions marked inside."""
        pairs = runs[is_inside] * self._size + self._ranks_at[: len(runs)][is_inside]
        pairs.sort()
        if len(pairs):
            pairs = pairs[np.concatenate(([True], pairs[1:] != pairs[:-1]))]
        runs_of_pairs = pairs // self._size
        keys, starts = np.unique(runs_of_pairs, return_index=True)
        starts = np.append(starts, len(pairs))
        return _Level(keys, Postings(starts, (pairs % self._size).astype(np.int32)))

    def _run(self, text: str) -> int | None:
        """The number of a run of at most three characters among the runs of its length."""
        key = self._letters.get(ord(text[0]))
        for width, character in enumerate(text[1:], start=2):
            letter = self._letters.get(ord(character))
            if width > 2 and key is not None:
                key = self._levels[width - 2].numbers.get(key)
            if key is None or letter is None:
                return None
            key = key * len(self._letters) + letter
        return self._levels[len(text) - 1].numbers.get(key) if key is not None else None


def _number(values: Codes, keys: Codes) -> Codes:
    """The place of every value in the ascending keys; anything for values that are not there."""
    return np.searchsorted(keys, values).astype(np.int64)


def _is_member(ranks: Ranks, others: Ranks) -> NDArray[np.bool_]:
    """Which of the ascending ranks occur in the ascending others (not empty)."""
    places = np.searchsorted(others, ranks)
    places[places == len(others)] = 0
    found: NDArray[np.bool_] = others[places] == ranks
    return found
