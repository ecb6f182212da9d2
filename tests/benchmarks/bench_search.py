"""Time of one search for the first eight hits, over 50,000 titles and as many people, beside other libraries.

    make bench-search            make bench-search ARGS="--titles 100000"

Interleaved rounds in one process; medians over the rounds. Prints a table and writes
.bench/search.json. `agreement` is the share of queries answered exactly as the contract defines;
it is judged by the plain definition of tests/unit/content/definition.py on a sample.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from services.content.search.entries import Entry
from shared.contract.norm import norm

sys.path.insert(0, str(Path(__file__).parents[2]))  # run as a script, not as a module

from tests.benchmarks import search_names, search_peers
from tests.unit.content import definition

ROUNDS = 7
QUERIES_PER_ROUND = 150
HITS = 8  # as autocomplete shows when nothing is asked (contract, 2.4)
JUDGED_QUERIES = 12
REPORT = Path(".bench/search.json")
ENGINES = {
    "ours": search_peers.ours,
    "rapidfuzz_marisa": search_peers.rapidfuzz_and_marisa,
    "rapidfuzz_alone": search_peers.rapidfuzz_alone,
    "tantivy": search_peers.tantivy_engine,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--titles", type=int, default=50_000)
    arguments = parser.parse_args()
    rows = search_names.entries(arguments.titles)
    figures = {"entries": len(rows), **measure(rows)}
    ratios = {
        name: {
            quantile: round(figures[f"{name}_{quantile}_ms"] / figures[f"ours_{quantile}_ms"], 2)
            for quantile in ("median", "p99")
        }
        for name in ENGINES
        if name != "ours"
    }
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(json.dumps({"figures": figures, "ratios": ratios}, indent=2) + "\n")
    table = Table("engine", "median ms", "p99 ms", "build s", "agreement")
    for name in ENGINES:
        keys = ("median_ms", "p99_ms", "build_s", "agreement")
        table.add_row(name, *(str(figures[f"{name}_{key}"]) for key in keys))
    Console().print(table)
    Console().print(f"{len(rows)} names; written to {REPORT}")


def measure(rows: list[Entry]) -> dict[str, float]:
    """Median and p99 of a query, medians over the rounds; seconds of building; agreement."""
    engines, figures = {}, {}
    for name, build in ENGINES.items():
        started = time.perf_counter()
        engines[name] = build(rows)
        figures[f"{name}_build_s"] = round(time.perf_counter() - started, 2)
    medians: dict[str, list[float]] = {name: [] for name in ENGINES}
    tails: dict[str, list[float]] = {name: [] for name in ENGINES}
    for number in range(ROUNDS):
        texts = search_names.queries(rows, QUERIES_PER_ROUND, seed=number)
        for name, engine in engines.items():
            spent = []
            for text in texts:
                started = time.perf_counter()
                engine(norm(text), HITS)
                spent.append((time.perf_counter() - started) * 1000)
            spent.sort()
            medians[name].append(statistics.median(spent))
            tails[name].append(spent[int(len(spent) * 0.99)])
    expected = {
        text: [hit.entry.id for hit in definition.search(rows, norm(text), None)[:HITS]]
        for text in search_names.queries(rows, JUDGED_QUERIES, seed=ROUNDS)
    }
    for name, engine in engines.items():
        agreed = sum(engine(norm(text), HITS) == ids for text, ids in expected.items())
        figures[f"{name}_median_ms"] = round(statistics.median(medians[name]), 3)
        figures[f"{name}_p99_ms"] = round(statistics.median(tails[name]), 3)
        figures[f"{name}_agreement"] = round(agreed / len(expected), 3)
    return figures


if __name__ == "__main__":
    main()
