"""The small pure parts: ejection, retry, trust, frames, ids, metrics, settings."""

from __future__ import annotations

import itertools
import re
import uuid

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.ejection import Outlier
from router.failure import Cause
from router.frames import FrameTracker
from router.metrics import Metrics
from router.request_ids import RequestIds, is_request_id, is_traceparent, new_traceparent
from router.retry import MAX_ATTEMPTS, FailedAttempt, Step, next_step
from router.settings import RouterSettingsError, read_settings
from router.trust import TrustedProxies, TrustError
from shared.manifest import load_manifest


def test_ejections_grow_are_capped_and_are_forgiven_by_good_intervals() -> None:
    outlier = Outlier()
    now, lengths = 1000.0, []
    for _ in range(12):
        while not outlier.failure(now):
            pass
        end = next(now + s for s in range(1, 400) if not outlier.is_ejected(now + s))
        lengths.append(end - now)
        now = end
    assert lengths[:3] == [30, 60, 90]
    assert lengths[-1] == 300
    before = outlier.ejections
    for step in range(1, 4):
        outlier.success(now + step * 11)
    assert outlier.ejections < before


def test_an_app_that_mostly_fails_is_ejected_without_five_in_a_row() -> None:
    outlier = Outlier()
    for _ in range(24):
        outlier.success(1.0)
        assert not outlier.failure(1.0)
    assert not outlier.is_ejected(2.0)
    outlier.success(1.0)
    assert outlier.failure(1.0)
    assert outlier.is_ejected(2.0)


def test_a_few_failures_among_many_answers_eject_nobody() -> None:
    outlier = Outlier()
    for _ in range(100):
        assert not any(outlier.failure(1.0) for _ in range(4))
        for _ in range(5):
            outlier.success(1.0)


def test_an_app_starts_slowly_after_an_ejection() -> None:
    outlier = Outlier()
    assert outlier.share(0.0) == 1.0
    while not outlier.failure(100.0):
        pass
    assert outlier.share(129.0) == 0.0
    assert outlier.share(130.5) == pytest.approx(0.1)
    assert outlier.share(135.0) == pytest.approx(0.5)
    assert outlier.share(141.0) == 1.0


def test_a_request_is_only_repeated_when_that_is_safe() -> None:
    """Every combination: nothing is repeated that an app may have done, unless it is idempotent."""
    nothing_sent = {Cause.CONNECT_FAILED, Cause.CONNECT_TIMEOUT, Cause.POOL_FULL}
    flags = (True, False)
    for cause, attempts, kept, replay, idempotent, other, budget in itertools.product(
        Cause, range(1, 5), flags, flags, flags, flags, flags
    ):
        step = next_step(FailedAttempt(cause, attempts, kept, replay, idempotent, other, budget))
        if step is Step.REFUSE:
            continue
        assert attempts < MAX_ATTEMPTS
        assert replay
        assert budget
        assert idempotent or cause in nothing_sent
        assert step is not Step.OTHER_SIDE or other
        assert step is not Step.SAME_APP or (kept and cause is Cause.UPSTREAM_RESET)


def test_trust_by_networks_ends_at_the_first_stranger() -> None:
    trusted = TrustedProxies(("10.0.0.0/8", "::1/128"))
    assert trusted.resolve("8.8.8.8", b"1.1.1.1", b"https").address == "8.8.8.8"
    inside = trusted.resolve("10.0.0.1", b"9.9.9.9, 1.1.1.1, 10.2.2.2", b"https")
    assert (inside.address, inside.scheme) == ("1.1.1.1", "https")
    assert b"X-Forwarded-For: 1.1.1.1, 10.2.2.2, 10.0.0.1" in inside.lines
    assert trusted.resolve("::1", b"2001:db8::1", None).address == "2001:db8::1"
    assert trusted.resolve("10.0.0.1", b"evil\r\nX: y", None).address == "10.0.0.1"


def test_trust_by_hops_takes_the_address_that_the_outermost_proxy_saw() -> None:
    trusted = TrustedProxies(("2",))
    assert trusted.resolve("10.0.0.1", b"6.6.6.6, 1.1.1.1, 10.9.9.9", None).address == "1.1.1.1"
    with pytest.raises(TrustError):
        TrustedProxies(("10.0.0.0/33",))


@hypothesis.settings(deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 70_000)), max_size=5),
    st.lists(st.integers(1, 50)),
)
def test_frame_boundaries_are_found_in_pieces_of_every_size(
    frames: list[tuple[bool, int]], sizes: list[int]
) -> None:
    raw, ends = b"", {0}
    for masked, size in frames:
        mask = 0x80 if masked else 0
        if size < 126:
            head = bytes([0x82, mask | size])
        elif size < 65_536:
            head = bytes([0x82, mask | 126]) + size.to_bytes(2, "big")
        else:
            head = bytes([0x82, mask | 127]) + size.to_bytes(8, "big")
        raw += head + (b"mask" if masked else b"") + b"p" * size
        ends.add(len(raw))
    tracker, position = FrameTracker(), 0
    for size in itertools.chain(sizes, [len(raw)]):
        tracker.feed(raw[position : position + size])
        position = min(position + size, len(raw))
        assert tracker.is_at_boundary is (position in ends)
    for start in sorted(ends)[:-1]:
        tracker = FrameTracker()
        tracker.feed(raw[start : start + 1])
        rest = raw[start + 1 :]
        end = min(end for end in ends if end > start)
        assert tracker.split(rest) == end - start - 1


def test_made_ids_are_distinct_version_4_uuids() -> None:
    ids = RequestIds()
    made = {ids.next() for _ in range(1000)}
    assert len(made) == 1000
    assert all(uuid.UUID(value.decode()).version == 4 and is_request_id(value) for value in made)
    assert all(str(uuid.UUID(value.decode())) == value.decode() for value in made)
    assert all(is_traceparent(new_traceparent(value)) for value in [*made, b"abc", b"0" * 32])


def test_metrics_are_valid_prometheus_text() -> None:
    metrics = Metrics()
    metrics.side("content.search", "service").count("GET", 200, 0.004)
    metrics.side("content.search", "service").count("GET", 503, 1000.0)
    metrics.cause("client_gone")
    metrics.add("router_retries_total", 'kind="stale_connection"')
    metrics.gauge("router_held", lambda: 3)
    lines = metrics.text().splitlines()
    pattern = re.compile(r'^[a-z_]+(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? [0-9.e+-]+$')
    assert all(line.startswith("# TYPE ") or pattern.match(line) for line in lines)
    label = 'route="content.search",side="service"'
    assert f'router_request_seconds_bucket{{{label},le="0.005"}} 1' in lines
    assert f'router_request_seconds_bucket{{{label},le="+Inf"}} 2' in lines
    assert f'router_requests_total{{{label},method="GET",status="5xx"}} 1' in lines


def test_settings_name_every_problem_at_once() -> None:
    manifest = load_manifest("migration.toml")
    with pytest.raises(RouterSettingsError) as caught:
        read_settings(
            {
                "PORT": "0", "WORKERS": "many", "JWT_SECRETS": "short", "MONOLITH_URL": "ftp://x",
                "TRUSTED_PROXIES": "nonsense", "ACCESS_LOG_SAMPLE": "2", "LOG_LEVEL": "loud",
            },
            manifest,
        )  # fmt: skip
    named = " ".join(caught.value.problems)
    for name in (
        "PORT", "WORKERS", "JWT_SECRETS", "MONOLITH_URL", "TRUSTED_PROXIES", "ACCESS_LOG_SAMPLE",
        "LOG_LEVEL", "SHARED_DATABASE_URL",
    ):  # fmt: skip
        assert name in named
    assert "short" not in str(caught.value)


def test_settings_find_an_address_for_every_configured_service() -> None:
    manifest = load_manifest("migration.toml")
    settings = read_settings(
        {
            "SHARED_DATABASE_URL": "postgresql://x", "MONOLITH_URL": "http://api-monolith.web:8080",
            "CONTENT_URL": "http://content.web:8080/", "WORKERS": "2", "INSTANCE_NAME": "r",
            "SNAPSHOT_PATH": "/tmp/s",
        },
        manifest,
    )  # fmt: skip
    assert set(settings.upstream_urls) == {"monolith", "content"}
    assert [settings.worker_name(n) for n in range(2)] == ["r.0", "r.1"]
    assert str(settings.worker_snapshot(1)) == "/tmp/s.1"
    assert "postgresql" not in repr(settings)
