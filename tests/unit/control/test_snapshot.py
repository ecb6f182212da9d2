"""The snapshot file: what is written comes back, and a damaged file is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.control.model import ControlState, Flag, Hold, Placement
from shared.control.rows import state_from_json, state_to_json
from shared.control.snapshot import SnapshotError, read_snapshot, write_snapshot
from shared.states import DataState

flags = st.builds(
    Flag,
    route=st.sampled_from(["content.search", "chat.talk"]),
    service=st.sampled_from(["content", "chat"]),
    percent=st.sampled_from([0.0, 12.5, 100.0]),
    salt=st.text(max_size=8),
    shadow_percent=st.sampled_from([0.0, 10.0]),
    allow=st.frozensets(st.text(max_size=5), max_size=3),
    deny=st.frozensets(st.text(max_size=5), max_size=3),
    mode=st.sampled_from(["normal", "read_only", "maintenance"]),
    hold=st.none() | st.just(Hold(started_at=12.25)),
    writes=st.booleans(),
)
placements = st.builds(
    Placement,
    service=st.just("chat"),
    state=st.sampled_from(list(DataState)),
    epoch=st.integers(1, 9),
)
states = st.builds(
    lambda version, rows, data: ControlState(
        version, {row.route: row for row in rows}, {row.service: row for row in data}
    ),
    st.integers(1, 10**12),
    st.lists(flags, max_size=2),
    st.lists(placements, max_size=1),
)


@given(states)
def test_a_state_survives_json(state: ControlState) -> None:
    assert state_from_json(json.loads(json.dumps(state_to_json(state)))) == state


def test_a_written_snapshot_is_read_back_and_leaves_no_temporary_file(tmp_path: Path) -> None:
    state = ControlState(7, {"content.search": Flag("content.search", "content", 25.0, "salt")}, {})
    path = tmp_path / "router" / "snapshot.json"
    write_snapshot(path, state)
    write_snapshot(path, state)
    assert read_snapshot(path) == state
    assert list(path.parent.iterdir()) == [path]


def test_a_missing_snapshot_is_none(tmp_path: Path) -> None:
    assert read_snapshot(tmp_path / "none.json") is None


@pytest.mark.parametrize(
    "damage", ["", "{}", "[1]", '{"format": 2}', '{"format": 1, "state": "{}", "sha256": "x"}']
)
def test_a_damaged_snapshot_is_refused_with_its_path(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "snapshot.json"
    path.write_text(damage)
    with pytest.raises(SnapshotError, match=r"snapshot\.json"):
        read_snapshot(path)


def test_one_flipped_bit_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "snapshot.json"
    write_snapshot(path, ControlState(7, {"a": Flag("a", "content", 25.0, "salt")}, {}))
    path.write_text(path.read_text().replace("25.0", "75.0"))
    with pytest.raises(SnapshotError, match="checksum"):
        read_snapshot(path)
