"""Names, arguments and bindings on the broker; and the rules of the broker in memory."""

from __future__ import annotations

import pytest

from shared.events.memory import matches
from shared.events.topology import (
    LADDER_SECONDS,
    Names,
    consumer_topology,
    duration,
    exchange_topology,
    merge,
)

NAMES = Names("scenextras")


def test_names_are_those_of_the_contract() -> None:
    assert NAMES.exchange == "scenextras.events"
    assert NAMES.queue("chat") == "chat.events"
    assert NAMES.dead("chat") == "chat.events.dead"
    assert [NAMES.wait("chat", rung) for rung in LADDER_SECONDS] == [
        "chat.events.wait.5s",
        "chat.events.wait.30s",
        "chat.events.wait.5m",
        "chat.events.wait.1h",
    ]


def test_every_queue_is_a_quorum_queue_and_nothing_is_dropped() -> None:
    topology = merge((exchange_topology(NAMES), consumer_topology(NAMES, "chat", ["user.deleted"])))
    by_name = {queue.name: queue.arguments for queue in topology.queues}
    assert {arguments["x-queue-type"] for arguments in by_name.values()} == {"quorum"}
    main = by_name["chat.events"]
    assert main["x-dead-letter-routing-key"] == "chat.events.dead"
    for name, arguments in by_name.items():
        if "x-dead-letter-exchange" in arguments:
            assert arguments["x-dead-letter-strategy"] == "at-least-once", name
            assert arguments["x-overflow"] == "reject-publish", name
        else:  # nothing leaves a parking queue by itself
            assert arguments["x-delivery-limit"] > 1_000_000, name
    assert by_name["chat.events.wait.5m"]["x-message-ttl"] == 300_000
    assert by_name["chat.events.wait.5m"]["x-dead-letter-routing-key"] == "chat.events"


def test_types_that_a_consumer_no_longer_hears_are_unbound() -> None:
    topology = consumer_topology(
        NAMES, "chat", ["user.deleted"], known_types=["user.deleted", "user.created"]
    )
    assert [binding.key for binding in topology.bindings] == ["user.deleted"]
    assert [binding.key for binding in topology.unbound] == ["user.created"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(5, "5s"), (90, "90s"), (300, "5m"), (3600, "1h"), (0.25, "250ms")]
)
def test_durations_are_short(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("pattern", "key", "expected"),
    [
        ("#", "a.b.c", True),
        ("a.*", "a.b", True),
        ("a.*", "a.b.c", False),
        ("a.#", "a", True),
        ("*.b", "a.b", True),
        ("#.b", "b", True),
        ("a.b", "a.c", False),
    ],
)
def test_topics_match_as_in_amqp(pattern: str, key: str, expected: bool) -> None:
    assert matches(pattern, key) is expected
