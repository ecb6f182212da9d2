"""The manifest has exactly the routes of the public contract, with the same marks."""

from __future__ import annotations

import tomllib
from pathlib import Path

from shared.manifest import load_manifest

ROOT = Path(__file__).parents[2]
CONTRACT = tomllib.loads((ROOT / "shared/contract/routes.toml").read_text(encoding="utf-8"))
#: `/health` is each app's own; the router answers it for itself on the public host.
OWN_ANSWER = {"system.health"}


def test_every_contract_route_is_in_the_manifest_with_the_same_marks() -> None:
    manifest = {route.name: route for route in load_manifest(ROOT / "migration.toml").routes}
    contract = {row["name"]: row for row in CONTRACT["route"] if row["name"] not in OWN_ANSWER}
    assert manifest.keys() == contract.keys()
    for name, row in contract.items():
        route = manifest[name]
        service = "auth" if row["service"] == "system" else row["service"]
        expected = {**row, "service": service}
        assert {key: getattr(route, key) for key in expected} == expected


def test_every_alias_of_the_contract_is_in_the_manifest() -> None:
    manifest = load_manifest(ROOT / "migration.toml")
    assert [row.model_dump() for row in manifest.aliases] == CONTRACT["alias"]
