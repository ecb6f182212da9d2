"""Which brokers are taken, by what they say of themselves."""

from __future__ import annotations

from typing import Any

import pytest

from shared.events.rabbitmq.versions import (
    CAPABILITIES,
    is_newer_than_known,
    read_facts,
    shortcomings,
)


def _properties(version: object, **changes: Any) -> dict[str, Any]:
    offered = dict.fromkeys(CAPABILITIES, True)
    return {"product": b"RabbitMQ", "version": version, "capabilities": offered} | changes


@pytest.mark.parametrize("version", ["3.10.8", b"3.13.7", "4.0.0", "4.3.1", "4.3.0-rc.1"])
def test_every_version_from_3_10_to_4_x_is_taken(version: object) -> None:
    facts = read_facts(_properties(version))
    assert shortcomings(facts) == ()
    assert not is_newer_than_known(facts)


@pytest.mark.parametrize("version", ["3.9.29", "3.8", "2.8.7", "unknown", None])
def test_older_and_unreadable_versions_are_refused_with_the_reason(version: object) -> None:
    (problem,) = shortcomings(read_facts(_properties(version)))
    assert "older than 3.10" in problem


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_a_missing_capability_is_named(capability: str) -> None:
    offered = dict.fromkeys(CAPABILITIES, True) | {capability: False}
    (problem,) = shortcomings(read_facts(_properties("4.2.0", capabilities=offered)))
    assert capability in problem


def test_a_broker_of_another_product_or_a_later_major_is_noticed() -> None:
    assert "LavinMQ" in shortcomings(read_facts(_properties("4.0.0", product="LavinMQ")))[0]
    assert is_newer_than_known(read_facts(_properties("5.0.0")))
    assert len(shortcomings(read_facts(None))) == 2 + len(CAPABILITIES)
