"""The same matching built on other libraries, for comparison: each answers the first hits of a norm."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

import marisa_trie
import tantivy
from rapidfuzz import process
from rapidfuzz.distance import Levenshtein

from services.content.search.entries import Entry, distance_bound
from services.content.search.index import SearchIndex

Engine = Callable[[str, int], list[str]]  # norm and number of hits -> ids


def ours(rows: list[Entry]) -> Engine:
    """services.content.search."""
    index = SearchIndex(rows)
    return lambda query, count: [hit.entry.id for hit in index.search(query, None, 0, count)]


def _first_new(classes: Iterable[Iterable[int]], ids: Sequence[str], count: int) -> list[str]:
    """Ids of the first ranks, class by class, each in order and without those seen before."""

    def ranks() -> Iterator[int]:
        seen: set[int] = set()
        for found in classes:
            for rank in sorted(set(found) - seen):
                seen.add(rank)
                yield rank

    return [ids[rank] for rank in islice(ranks(), count)]


class _Tables:
    """Entries in result order with dictionaries from texts to ranks."""

    def __init__(self, rows: list[Entry]) -> None:
        ordered = sorted(rows, key=lambda entry: entry.sort_key)
        self.ids = [entry.id for entry in ordered]
        self.norms = [entry.norm for entry in ordered]
        self.by_norm: dict[str, list[int]] = defaultdict(list)
        self.by_word: dict[str, list[int]] = defaultdict(list)
        self.by_later_word: dict[str, list[int]] = defaultdict(list)
        for rank, norm in enumerate(self.norms):
            words = norm.split(" ")
            self.by_norm[norm].append(rank)
            for word in dict.fromkeys(words):
                self.by_word[word].append(rank)
            for word in dict.fromkeys(words[1:]):
                self.by_later_word[word].append(rank)


def rapidfuzz_and_marisa(rows: list[Entry]) -> Engine:
    """marisa-trie for beginnings, one joined text for the middle, rapidfuzz over terms by length."""
    tables = _Tables(rows)
    norms, later = marisa_trie.Trie(tables.by_norm), marisa_trie.Trie(tables.by_later_word)
    lines = list(tables.by_norm)
    text = "\n".join(lines)
    starts = [0]
    for line in lines[:-1]:
        starts.append(starts[-1] + len(line) + 1)
    by_length: dict[int, list[str]] = defaultdict(list)
    ranks_of_term = dict(tables.by_word)
    for norm, ranks in tables.by_norm.items():
        ranks_of_term[norm] = list({*ranks_of_term.get(norm, ()), *ranks})
    for term in ranks_of_term:
        by_length[len(term)].append(term)

    def middle(query: str) -> Iterator[int]:
        at = text.find(query)
        while at >= 0:
            line = bisect_right(starts, at) - 1
            yield from tables.by_norm[lines[line]]
            at = text.find(query, starts[line] + len(lines[line]))

    def near(query: str) -> Iterator[int]:
        bound = distance_bound(query)
        if not bound:
            return
        for length in range(len(query) - bound, len(query) + bound + 1):
            for term, _, _ in process.extract(
                query,
                by_length.get(length, []),
                scorer=Levenshtein.distance,
                score_cutoff=bound,
                limit=None,
            ):
                yield from ranks_of_term[term]

    def classes(query: str) -> Iterator[Iterable[int]]:
        yield tables.by_norm.get(query, ())
        yield (rank for norm in norms.iterkeys(query) for rank in tables.by_norm[norm])
        yield (rank for word in later.iterkeys(query) for rank in tables.by_later_word[word])
        yield middle(query)
        yield near(query)

    return lambda query, count: _first_new(classes(query), tables.ids, count)


def rapidfuzz_alone(rows: list[Entry]) -> Engine:
    """Sorted lists for beginnings, a look at every name for the middle, rapidfuzz over all terms."""
    tables = _Tables(rows)
    norms, later = sorted(tables.by_norm), sorted(tables.by_later_word)
    terms = list({**tables.by_norm, **tables.by_word})

    def span(texts: list[str], table: dict[str, list[int]], query: str) -> Iterator[int]:
        first = bisect_left(texts, query)
        for text in texts[first : bisect_left(texts, query + "\U0010ffff", first)]:
            yield from table[text]

    def near(query: str) -> Iterator[int]:
        bound = distance_bound(query)
        if not bound:
            return
        scorer = Levenshtein.distance
        for term, _, _ in process.extract(
            query, terms, scorer=scorer, score_cutoff=bound, limit=None
        ):
            yield from tables.by_norm.get(term, ())
            yield from tables.by_word.get(term, ())

    def classes(query: str) -> Iterator[Iterable[int]]:
        yield tables.by_norm.get(query, ())
        yield span(norms, tables.by_norm, query)
        yield span(later, tables.by_later_word, query)
        yield (rank for rank, norm in enumerate(tables.norms) if query in norm)
        yield near(query)

    return lambda query, count: _first_new(classes(query), tables.ids, count)


def tantivy_engine(rows: list[Entry]) -> Engine:
    """One query per class on raw and word fields, ordered by a fast field that holds the rank."""
    ordered = sorted(rows, key=lambda entry: entry.sort_key)
    builder = tantivy.SchemaBuilder()
    for field in ("norm", "words", "later"):
        builder.add_text_field(field, stored=False, tokenizer_name="raw")
    builder.add_unsigned_field("rank", stored=True, fast=True)
    schema = builder.build()
    index = tantivy.Index(schema)
    writer = index.writer(heap_size=200_000_000, num_threads=1)
    for rank, entry in enumerate(ordered):
        document = tantivy.Document(norm=entry.norm)
        document.add_unsigned("rank", rank)
        words = entry.norm.split(" ")
        for word in words:
            document.add_text("words", word)
        for word in words[1:]:
            document.add_text("later", word)
        writer.add_document(document)
    writer.commit()
    writer.wait_merging_threads()
    index.reload()
    searcher = index.searcher()

    def classes(query: str) -> Iterator[tantivy.Query]:
        pattern = re.escape(query).replace("\\ ", " ")
        yield tantivy.Query.term_query(schema, "norm", query)
        yield tantivy.Query.regex_query(schema, "norm", f"{pattern}.*")
        yield tantivy.Query.regex_query(schema, "later", f"{pattern}.*")
        yield tantivy.Query.regex_query(schema, "norm", f".*{pattern}.*")
        if bound := distance_bound(query):
            near = [
                tantivy.Query.fuzzy_term_query(
                    schema, field, query, distance=bound, transposition_cost_one=False
                )
                for field in ("norm", "words")
            ]
            yield tantivy.Query.boolean_query([(tantivy.Occur.Should, part) for part in near])

    def search(query: str, count: int) -> list[str]:
        found: list[int] = []
        for part in classes(query):
            hits = searcher.search(
                part,
                limit=count + len(found),
                count=False,
                order_by_field="rank",
                order=tantivy.Order.Asc,
            ).hits
            ranks = [int(rank) for rank, _ in hits]
            found += [rank for rank in ranks if rank not in found]
            if len(found) >= count:
                break
        return [ordered[rank].id for rank in found[:count]]

    return search
