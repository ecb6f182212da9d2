"""The invariants of the control store, over every small state and over random ones."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from shared.states import (
    DATA_TRANSITIONS,
    OWNING_DATABASE,
    PHASE_TRANSITIONS,
    DataState,
    PhaseStatus,
    RouteState,
    TrafficState,
    can_change_data,
    traffic_state,
    violations,
)

PERCENTS = (0.0, 0.01, 50.0, 99.99, 100.0)


def plainly_legal(route: RouteState, state: DataState) -> bool:
    """The rules in the words of the design, written without looking at the code."""
    if not 0 <= route.percent <= 100:
        return False
    if route.writes and state in {DataState.OWN, DataState.FINAL}:
        return route.percent == 100 and not route.denies
    return True


def test_every_single_route_state_agrees_with_the_plain_rules() -> None:
    for writes, denies, percent, state in itertools.product(
        (True, False), (True, False), (*PERCENTS, -1.0, 100.01), DataState
    ):
        route = RouteState("chat.talk", "chat", writes, percent, denies)
        broken = violations({"chat.talk": route}, {"chat": state})
        assert (not broken) is plainly_legal(route, state), (route, state, broken)


@given(
    st.lists(
        st.builds(
            RouteState,
            route=st.sampled_from([f"r{number}" for number in range(6)]),
            service=st.sampled_from(["chat", "media", "auth"]),
            writes=st.booleans(),
            percent=st.sampled_from(PERCENTS),
            denies=st.booleans(),
        ),
        max_size=6,
    ),
    st.dictionaries(st.sampled_from(["chat", "media", "auth"]), st.sampled_from(list(DataState))),
)
def test_a_whole_state_is_legal_exactly_when_each_of_its_routes_is(
    rows: list[RouteState], data: dict[str, DataState]
) -> None:
    routes = {row.route: row for row in rows}
    bad = {
        name
        for name, row in routes.items()
        if not plainly_legal(row, data.get(row.service, DataState.SHARED))
    }
    assert {broken.subject for broken in violations(routes, data)} == bad


def test_a_partly_ramped_writing_route_with_its_own_database_breaks_invariant_two() -> None:
    route = RouteState("chat.talk", "chat", writes=True, percent=50.0)
    (broken,) = violations({"chat.talk": route}, {"chat": DataState.OWN})
    assert broken.invariant == 2
    assert "migrate rollback chat" in broken.message


def test_a_writing_route_at_the_monolith_with_its_own_database_breaks_invariant_three() -> None:
    route = RouteState("chat.talk", "chat", writes=True, percent=0.0)
    (broken,) = violations({"chat.talk": route}, {"chat": DataState.FINAL})
    assert broken.invariant == 3


def test_data_moves_only_along_the_table_of_transitions() -> None:
    for before, after in itertools.product(DataState, DataState):
        assert can_change_data(before, after) is (after in DATA_TRANSITIONS[before])
    assert not can_change_data(DataState.SHARED, DataState.OWN)
    assert not can_change_data(DataState.FINAL, DataState.FOLLOWING)
    assert can_change_data(DataState.OWN, DataState.FOLLOWING)


def test_the_tables_name_every_state() -> None:
    assert set(DATA_TRANSITIONS) == set(OWNING_DATABASE) == set(DataState)
    assert set(PHASE_TRANSITIONS) == set(PhaseStatus)


def test_traffic_state_follows_from_the_flags() -> None:
    assert traffic_state({"a": 0.0, "b": 0.0}, {"a": 0.0}) is TrafficState.MONOLITH
    assert traffic_state({"a": 0.0}, {"a": 5.0}) is TrafficState.SHADOW
    assert traffic_state({"a": 0.0, "b": 100.0}, {}) is TrafficState.RAMP
    assert traffic_state({"a": 100.0}, {"a": 5.0}) is TrafficState.SERVICE
