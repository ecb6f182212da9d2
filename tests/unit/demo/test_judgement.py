"""What the demonstration asks, how it judges answers, and what it makes of counts."""

from __future__ import annotations

import asyncio
import io
import json
from random import Random
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from migrate.demo.client import digest
from migrate.demo.load import Orders
from migrate.demo.measurements import LoadResult, latency_summary, percentile
from migrate.demo.report import DemoReport, Point, Step, print_report, sparkline
from migrate.demo.router_counts import RouterCounts, SideCounts, add_up
from migrate.demo.tally import Tally
from migrate.demo.workload import FIELDS, MIX, Call, Vocabulary, fault_of, make_call, with_typo
from migrate.stack.errors import StackError
from shared.manifest import load_manifest

WORDS = Vocabulary(
    movies=[{"id": "m1", "title": "The Matrix"}],
    characters=[{"id": "c1", "name": "Trinity"}],
    actors=[{"id": "a1", "name": "Carrie-Anne Moss"}],
    names=["The Matrix", "Trinity", "Carrie-Anne Moss", "Amélie & more?"],
)


@pytest.mark.parametrize("route", MIX)
def test_every_request_of_the_mix_is_a_route_of_the_contract(route: str) -> None:
    manifest_route = load_manifest("migration.toml").route(route)
    assert manifest_route is not None
    for seed in range(40):
        call = make_call(route, WORDS, Random(seed), "token")
        path = urlsplit(call.target).path.split("/")
        pattern = manifest_route.path.split("/")
        assert call.method == manifest_route.method
        assert [p for p, q in zip(path, pattern, strict=True) if not q.startswith("{")] == [
            q for q in pattern if not q.startswith("{")
        ]


@given(st.integers())
def test_what_is_typed_is_never_empty_and_within_the_contract(seed: int) -> None:
    for route in ("content.search", "content.autocomplete"):
        query = parse_qs(urlsplit(make_call(route, WORDS, Random(seed), "").target).query)
        assert 1 <= len(query["q"][0]) <= 100


@given(st.text(min_size=6, max_size=40), st.integers())
def test_a_typo_exchanges_two_neighbours(text: str, seed: int) -> None:
    assert sorted(with_typo(text, Random(seed))) == sorted(text)


def test_the_shares_of_the_mix_are_whole() -> None:
    assert sum(MIX.values()) == 100
    assert MIX.keys() == FIELDS.keys()


@pytest.mark.parametrize(
    ("status", "body", "fault"),
    [
        (200, b'{"query": "x", "suggestions": []}', None),
        (503, b"{}", "status 503"),
        (200, b"<html>", "body is not JSON"),
        (200, b"[]", "body is not an object"),
        (200, b'{"query": "x"}', "no field suggestions"),
    ],
)
def test_an_answer_is_judged_by_status_and_form(
    status: int, body: bytes, fault: str | None
) -> None:
    assert fault_of(Call("content.autocomplete", "GET", "/x"), status, body) == fault


def test_answers_are_the_same_whatever_the_order_of_keys() -> None:
    assert digest(b'{"a": 1, "b": [1, 2]}') == digest(b'{"b":[1,2],"a":1}')
    assert digest(b'{"b": [1, 2]}') != digest(b'{"b": [2, 1]}')


def test_the_tally_counts_what_failed_what_never_ended_and_what_differed() -> None:
    tally, call = Tally(), Call("content.search", "GET", "/api/search?q=x")
    for _ in range(3):
        tally.started()
    tally.ended(call, "r1", 0.010, None)
    tally.ended(call, "r2", 0.030, "status 500")
    tally.compare("/a", b"1")
    tally.compare("/a", b"1")
    tally.compare("/a", b"2")
    result = tally.result(clients=1, connects=1)
    assert (result.requests, result.failed, result.differing) == (3, 2, 1)
    assert [failure.reason for failure in result.failures] == [
        "status 500", "differs from the first answer",
    ]  # fmt: skip
    assert result.slowest_ms == 30.0


def test_percentiles_are_values_that_were_measured() -> None:
    assert percentile([], 50) == 0.0
    assert percentile([1.0, 2.0, 3.0, 4.0], 50) == 2.0
    assert percentile([1.0, 2.0, 3.0, 4.0], 99) == 4.0
    assert latency_summary([0.001] * 99 + [0.5])["p99"] == 1.0


def document(*rows: tuple[str, str, int, list[int]]) -> dict[str, object]:
    return {
        "bucket_seconds": [0.01, 0.1],
        "routes": [
            {"route": route, "side": side, "requests": n, "durations": durations}
            for route, side, n, durations in rows
        ],
    }


def test_counts_of_all_workers_and_routes_of_one_service_are_added() -> None:
    counts = add_up(
        [
            document(
                ("content.search", "monolith", 30, [30, 0, 0]),
                ("auth.me", "monolith", 9, [9, 0, 0]),
            ),
            document(
                ("content.search", "service", 10, [5, 5, 0]), ("content.movie", "monolith", 0, [])
            ),
        ],
        "content",
    )
    assert counts.side("monolith") == SideCounts(30, (30, 0, 0))
    assert counts.service_share == 0.25
    assert counts.latency_ms("service", 50) == 10.0
    assert counts.latency_ms("service", 100) == 100.0
    assert counts.latency_ms("router", 50) is None


def test_what_was_counted_between_two_readings_is_their_difference() -> None:
    earlier = RouterCounts({"monolith": SideCounts(5, (5,))}, (0.01,))
    later = RouterCounts({"monolith": SideCounts(7, (7,)), "service": SideCounts(2, (2,))}, (0.01,))
    assert later.since(earlier).sides == {
        "monolith": SideCounts(2, (2,)),
        "service": SideCounts(2, (2,)),
    }
    assert RouterCounts().service_share == 0.0


def test_a_stats_document_of_another_form_is_an_error() -> None:
    with pytest.raises(StackError, match="another form"):
        add_up([{"bucket_seconds": [], "routes": {}}], "content")


def report(
    *, failed: int = 0, differing: int = 0, share: float = 1.0, ms: float = 9.0
) -> DemoReport:
    load = LoadResult(
        seconds=1.0, requests=300, failed=failed, differing=differing, connects=1, clients=1,
        by_route={}, latencies_ms={"p50": 1.0, "p99": 2.0}, slowest_ms=3.0, failures=(),
    )  # fmt: skip
    step = Step(
        percent=100.0, is_change=True, version=3, applied_ms={"router.0": ms}, slowest_ms=ms,
        seconds=1.0, requests=300, failed=failed, requests_per_second=300.0, service_share=share,
        latency_ms={"service": {"p50": 1.25, "p99": 9.5}, "monolith": {"p50": None, "p99": None}},
    )  # fmt: skip
    point = Point(at=0.5, percent=100.0, requests_per_second=300, failed=0, service_share=share)
    return DemoReport(
        service="content", requests=300, failed=failed, differing=differing, seconds=1.0,
        requests_per_second=300.0, clients=1, router_instances=1, steps=(step,), timeline=(point,),
        latency_ms={"client": {"p50": 1.0, "p99": 2.0}}, propagation_ms={"median": ms, "slowest": ms},
        setup_seconds=2.0, load=load,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("given_report", "words"),
    [
        (report(failed=2), "2 requests failed"),
        (report(differing=1), "1 answers differed"),
        (report(share=0.9), "the service gave 90.0%"),
        (report(ms=1500.0), "took 1500 ms"),
    ],
)
def test_a_demonstration_fails_when_somebody_could_notice(
    given_report: DemoReport, words: str
) -> None:
    assert len(given_report.problems) == 1
    assert words in given_report.problems[0]


def test_a_good_demonstration_has_no_problem_and_its_table_shows_every_figure() -> None:
    good = report()
    assert good.problems == ()
    output = io.StringIO()
    print_report(good, Console(file=output, width=200))
    for figure in ("100", "9.0", "300", "100.0%", "█", "1.2 / 9.5"):
        assert figure in output.getvalue()
    assert json.loads(good.model_dump_json())["steps"][0]["applied_ms"] == {"router.0": 9.0}


def test_a_sparkline_goes_from_low_to_high() -> None:
    assert sparkline([0.0, 0.5, 1.0]) == "▁▅█"


def test_numbers_on_the_loads_input_are_rates_and_its_end_is_the_end() -> None:
    over, rates = asyncio.Event(), list[float]()
    orders = Orders(over, rates.append)
    orders.data_received(b"200.0\n12")
    orders.data_received(b"0\n")
    assert rates == [200.0, 120.0]
    assert not over.is_set()
    orders.connection_lost(None)
    assert over.is_set()
