"""Which names fit a query, by the classes of contract, 2.4, over lists in memory; no I/O."""

from __future__ import annotations

import unicodedata
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TypeVar

from rapidfuzz import process
from rapidfuzz.distance import Levenshtein

CLASSES = ("exact", "prefix", "word", "substring", "fuzzy")
KINDS = ("title", "character", "actor")
_LAST = "\U0010ffff"
V = TypeVar("V")


def norm(text: str) -> str:
    """NFKD, no combining marks, case folded, other runs than letters and digits one space."""
    decomposed = unicodedata.normalize("NFKD", text)
    plain = "".join(c for c in decomposed if unicodedata.category(c)[0] != "M").casefold()
    return " ".join("".join(run) for is_word, run in groupby(plain, str.isalnum) if is_word)


def distance_bound(query: str) -> int:
    """How many edits a fuzzy match may have."""
    return 0 if len(query) < 4 else 1 if len(query) < 8 else 2


@dataclass(frozen=True, slots=True)
class Entry:
    """One findable name; kind indexes KINDS, types are the `type` values it answers to."""

    norm: str
    kind: int
    id: str
    name: str
    subtitle: str | None
    image_url: str | None
    popularity: float
    types: frozenset[str]


@dataclass(frozen=True, slots=True)
class Found:
    entry: Entry
    match: str


class Names:
    """All entries in result order (popularity, norm, kind, id) with lookups by class.

    A place is an entry's index in that order, so sorting places sorts results.
    """

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.entries = sorted(entries, key=lambda e: (-e.popularity, e.norm, e.kind, e.id))
        self._by_norm: dict[str, list[int]] = defaultdict(list)
        self._by_word: dict[str, list[int]] = defaultdict(list)
        later: dict[str, list[int]] = defaultdict(list)
        for place, entry in enumerate(self.entries):
            self._by_norm[entry.norm].append(place)
            words = entry.norm.split(" ")
            for word in dict.fromkeys(words):
                self._by_word[word].append(place)
            for word in dict.fromkeys(words[1:]):
                later[word].append(place)
        self._norms = sorted(self._by_norm)
        self._later = later
        self._later_words = sorted(later)
        self._text = "\n".join(self._norms)
        self._starts = _line_starts(self._norms)
        self._norms_by_length = _by_length(self._norms)
        self._words_by_length = _by_length(self._by_word)

    def find(self, query: str, type_name: str | None = None) -> Iterator[Found]:
        """Hits for a norm(query), best first; lazily, so that a first page costs little."""
        if not query:
            return
        seen: set[int] = set()
        finders: tuple[Callable[[str], Iterable[int]], ...] = (
            self._exact,
            self._prefix,
            self._word,
            self._substring,
            self._fuzzy,
        )
        for name, finder in zip(CLASSES, finders, strict=True):
            places = sorted(set(finder(query)) - seen)
            seen.update(places)
            for place in places:
                entry = self.entries[place]
                if type_name is None or type_name in entry.types:
                    yield Found(entry, name)

    def _exact(self, query: str) -> Iterable[int]:
        return self._by_norm.get(query, ())

    def _prefix(self, query: str) -> Iterable[int]:
        return _gather(_range(self._norms, query), self._by_norm)

    def _word(self, query: str) -> Iterable[int]:
        return _gather(_range(self._later_words, query), self._later)

    def _substring(self, query: str) -> Iterator[int]:
        at = self._text.find(query)
        while at >= 0:
            line = bisect_left(self._starts, at + 1) - 1
            yield from self._by_norm[self._norms[line]]
            if line + 1 == len(self._starts):
                return
            at = self._text.find(query, self._starts[line + 1])

    def _fuzzy(self, query: str) -> Iterator[int]:
        bound = distance_bound(query)
        if bound == 0:
            yield from self._by_word.get(query, ())
            return
        for lengths, places in (
            (self._norms_by_length, self._by_norm),
            (self._words_by_length, self._by_word),
        ):
            for length in range(len(query) - bound, len(query) + bound + 1):
                choices = lengths.get(length)
                if choices:
                    near = process.extract(
                        query,
                        choices,
                        scorer=Levenshtein.distance,
                        score_cutoff=bound,
                        limit=None,
                    )
                    for text, _, _ in near:
                        yield from places[text]


def _range(words: Sequence[str], prefix: str) -> Sequence[str]:
    return words[bisect_left(words, prefix) : bisect_left(words, prefix + _LAST)]


def _gather(keys: Iterable[str], places: dict[str, list[int]]) -> Iterator[int]:
    for key in keys:
        yield from places[key]


def _line_starts(lines: Sequence[str]) -> list[int]:
    starts, at = [], 0
    for line in lines:
        starts.append(at)
        at += len(line) + 1
    return starts


def _by_length(texts: Iterable[str]) -> dict[int, list[str]]:
    lengths: dict[int, list[str]] = defaultdict(list)
    for text in texts:
        lengths[len(text)].append(text)
    return lengths
