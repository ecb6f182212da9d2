"""The event as it travels."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from enum import Enum
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.events.envelope import new_event, plain, read_event, timestamp
from shared.events.errors import UnreadableEventError
from shared.observability.context import request_scope

MEMBERS = {
    "specversion", "id", "type", "version", "source", "time", "subject", "requestid",
    "traceparent", "datacontenttype", "data",
}  # fmt: skip


def test_the_wire_form_has_every_member_of_the_contract_and_no_other() -> None:
    user = uuid4()
    event = new_event("story.liked", source="community", subject=user, data={"liked": True})
    wire = json.loads(event.to_json())
    assert set(wire) == MEMBERS
    assert wire["specversion"] == "1.0"
    assert wire["source"] == "/community"
    assert wire["subject"] == str(user)
    assert wire["requestid"] is None
    assert wire["datacontenttype"] == "application/json"
    assert read_event(event.to_json()).data == {"liked": True}


def test_times_are_utc_with_three_digits_cut_off() -> None:
    moment = datetime(2026, 3, 1, 12, 0, 0, 999_999, tzinfo=timezone(timedelta(hours=2)))
    assert timestamp(moment) == "2026-03-01T10:00:00.999Z"
    with pytest.raises(TypeError):
        timestamp(datetime(2026, 3, 1))
    event = new_event("user.deleted", source="auth", subject=None, data={})
    assert json.loads(event.to_json())["time"].endswith("Z")
    assert abs((datetime.now(UTC) - event.time).total_seconds()) < 60


def test_values_of_the_database_become_json() -> None:
    class Tier(Enum):
        PRO = 1

    identity = UUID(int=7)
    data = {
        "id": identity,
        "ids": [identity],
        "at": datetime(2026, 1, 1, tzinfo=UTC),
        "tier": Tier.PRO,
    }
    event = new_event("user.updated", source="auth", subject=identity, data=data)
    assert event.data == {
        "id": str(identity),
        "ids": [str(identity)],
        "at": "2026-01-01T00:00:00.000Z",
        "tier": 1,
    }
    with pytest.raises(TypeError):
        plain(object())
    with pytest.raises(TypeError):
        plain({1, 2})


def test_an_event_names_the_request_that_caused_it() -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    with request_scope("request-1", trace):
        event = new_event("user.deleted", source="auth", subject=None, data={})
    assert (event.requestid, event.traceparent) == ("request-1", trace)


def test_a_newer_producer_may_add_members_and_types_that_are_not_known_here() -> None:
    body = json.loads(new_event("user.deleted", source="auth", subject=None, data={}).to_json())
    body |= {"type": "user.teleported", "partitionkey": "x", "data": {"new": 1}}
    event = read_event(json.dumps(body).encode())
    assert event.type == "user.teleported"


@pytest.mark.parametrize(
    "change",
    [
        {"specversion": "2.0"},
        {"id": "7"},
        {"type": "Nope"},
        {"version": 0},
        {"source": "auth"},
        {"time": "yesterday"},
        {"time": "2026-01-01T00:00:00"},
        {"data": None},
        {"datacontenttype": "text/plain"},
    ],
)
def test_what_is_not_an_event_says_where(change: dict[str, object]) -> None:
    body = json.loads(new_event("user.deleted", source="auth", subject=None, data={}).to_json())
    with pytest.raises(UnreadableEventError) as caught:
        read_event(json.dumps({**body, **change}).encode())
    assert next(iter(change)) in caught.value.reason


@given(st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
def test_no_bytes_make_reading_raise_anything_else(body: bytes) -> None:
    with pytest.raises(UnreadableEventError):
        read_event(body)


def test_the_key_that_orders_events_is_the_user_else_the_domain() -> None:
    assert new_event("user.deleted", source="auth", subject="u1", data={}).partition_key == "u1"
    assert new_event("user.deleted", source="auth", subject=None, data={}).partition_key == "auth"
