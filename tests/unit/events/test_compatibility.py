"""Changed event schemas: what a consumer of the released ones could stumble over."""

from __future__ import annotations

from typing import Any

import pytest

from shared.events.catalogue import read_schemas, split_name
from shared.events.compatibility import breaking_changes, unreleased
from shared.events.errors import EventError

OLD: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "kind": {"enum": ["a", "b"]},
        "tags": {
            "type": "array",
            "items": {"type": "object", "properties": {"x": {"type": "integer"}}},
        },
    },
    "required": ["id", "kind"],
}


def changed(**changes: Any) -> dict[str, Any]:
    return {**OLD, **changes}


@pytest.mark.parametrize(
    "new",
    [
        OLD,
        changed(description="now explained"),
        changed(properties={**OLD["properties"], "extra": {"type": "null"}}),
        changed(required=["id", "kind", "tags"]),
    ],
)
def test_added_fields_and_explanations_are_no_break(new: dict[str, Any]) -> None:
    assert breaking_changes({"a.b.v1": OLD}, {"a.b.v1": new}) == ()


@pytest.mark.parametrize(
    ("new", "where"),
    [
        (changed(properties={"id": {"type": "string"}, "tags": OLD["properties"]["tags"]}), "kind"),
        (changed(properties={**OLD["properties"], "id": {"type": "integer"}}), "id"),
        (changed(required=["id"]), "kind"),
        (changed(properties={**OLD["properties"], "kind": {"enum": ["a", "b", "c"]}}), "kind"),
        (changed(additionalProperties=False), "additionalProperties"),
        (
            changed(
                properties={
                    **OLD["properties"],
                    "tags": {"type": "array", "items": {"type": "object", "properties": {}}},
                }
            ),
            "tags[].x",
        ),
    ],
)
def test_anything_else_is_a_break_that_is_named(new: dict[str, Any], where: str) -> None:
    (found,) = breaking_changes({"a.b.v1": OLD}, {"a.b.v1": new})
    assert found.startswith("a.b.v1: ")
    assert where in found


def test_a_removed_schema_is_a_break_and_a_new_version_is_not() -> None:
    assert breaking_changes({"a.b.v1": OLD}, {"a.b.v2": OLD})
    both = {"a.b.v1": OLD, "a.b.v2": changed(properties={})}
    assert breaking_changes({"a.b.v1": OLD}, both) == ()
    assert unreleased({"a.b.v1": OLD}, both) == ("a.b.v2",)


@pytest.mark.parametrize("name", ["user.created", "user.created.vx", ".v1"])
def test_a_schema_without_a_version_is_refused(name: str) -> None:
    with pytest.raises(EventError):
        split_name(name)
    with pytest.raises(EventError):
        read_schemas({name: "{}"})
