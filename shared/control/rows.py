"""Between rows and JSON of the control store and its frozen data; pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import Any

from shared.control.model import ControlState, Flag, Hold, Placement
from shared.states import DataState


def flag_to_json(flag: Flag) -> dict[str, Any]:
    """A flag as JSON-ready data; sets become sorted lists."""
    data = asdict(flag)
    data["allow"] = sorted(flag.allow)
    data["deny"] = sorted(flag.deny)
    return data


def flag_from_json(data: Mapping[str, Any]) -> Flag:
    """The inverse of `flag_to_json`; also takes a row of `strangler.flags` as JSON."""
    hold = data.get("hold")
    if isinstance(hold, str):
        hold = json.loads(hold)
    return Flag(
        route=data["route"],
        service=data["service"],
        percent=float(data["percent"]),
        salt=data["salt"],
        shadow_percent=float(data["shadow_percent"]),
        allow=frozenset(data["allow"]),
        deny=frozenset(data["deny"]),
        mode=data["mode"],
        hold=Hold(**hold) if hold else None,
        writes=data["writes"],
    )


def placement_from_json(data: Mapping[str, Any]) -> Placement:
    """A placement from a row or from a snapshot."""
    return Placement(data["service"], DataState(data["state"]), int(data["epoch"]))


def state_from_parts(
    version: int, flags: Iterable[Mapping[str, Any]], placements: Iterable[Mapping[str, Any]]
) -> ControlState:
    """A control state from JSON-like rows."""
    return ControlState(
        version=version,
        flags=MappingProxyType({flag["route"]: flag_from_json(flag) for flag in flags}),
        placements=MappingProxyType(
            {row["service"]: placement_from_json(row) for row in placements}
        ),
    )


def state_to_json(state: ControlState) -> dict[str, Any]:
    """A control state as JSON-ready data, the form of the snapshot file."""
    return {
        "version": state.version,
        "flags": [flag_to_json(flag) for flag in state.flags.values()],
        "placements": [
            {"service": row.service, "state": row.state.value, "epoch": row.epoch}
            for row in state.placements.values()
        ],
    }


def state_from_json(data: Mapping[str, Any]) -> ControlState:
    """The inverse of `state_to_json`."""
    return state_from_parts(int(data["version"]), data["flags"], data["placements"])
