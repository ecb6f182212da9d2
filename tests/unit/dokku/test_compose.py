"""The compose file: every app and store on the same names, and nothing that Compose would refuse."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from migrate.dokku.compose import compose_file
from migrate.dokku.desired import app_models
from shared.manifest import load_manifest

MANIFEST = load_manifest()
TEXT = compose_file(MANIFEST)
DATA: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = DATA["services"]
#: Keys of the Compose specification that the file may use, and what they hold.
KEYS: dict[str, type | tuple[type, ...]] = {
    "image": str,
    "build": dict,
    "command": list,
    "environment": dict,
    "depends_on": dict,
    "networks": (list, dict),
    "ports": list,
    "volumes": list,
    "restart": str,
    "profiles": list,
    "healthcheck": dict,
}
CONDITIONS = {"service_healthy", "service_completed_successfully", "service_started"}


def test_every_app_and_store_is_there_on_the_same_names() -> None:
    assert MANIFEST.dokku is not None
    assert set(MANIFEST.dokku.stores) <= set(SERVICES)
    for app, model in app_models(MANIFEST).items():
        for process, row in model.processes.items():
            if row.quantity:
                assert (app if process == "web" else f"{app}-{process}") in SERVICES
    router = SERVICES["router"]
    assert router["environment"]["CHAT_URL"] == "http://chat-service.web:8080"
    assert SERVICES["chat-service"]["networks"]["internal"]["aliases"] == ["chat-service.web"]
    assert router["ports"] == ["8080:8080"]
    assert [name for name, row in SERVICES.items() if "ports" in row] == ["router"]
    assert SERVICES["operator-console"]["profiles"] == ["tools"]
    assert SERVICES["scenextras-db"]["image"] == "postgres:17.6"
    assert "JWT_SECRETS: ${JWT_SECRETS:?is not set}" in TEXT


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_only_what_compose_knows(name: str) -> None:
    row = SERVICES[name]
    for key, value in row.items():
        assert isinstance(value, KEYS[key]), key
    assert re.fullmatch(r"[a-z0-9-]+:[a-z0-9.-]+", row["image"]), "an image has a tag"
    for variable, value in row.get("environment", {}).items():
        assert isinstance(value, str), variable
        plain = re.sub(r"\$\$|\$\{[A-Z][A-Z0-9_]*:(-[^{}$]*|\?[^{}$]+)\}", "", value)
        assert "$" not in plain, variable
    assert all(isinstance(word, str) for word in row.get("command", ()))


def test_whatever_a_service_names_is_in_the_file() -> None:
    for name, row in SERVICES.items():
        for other, how in row.get("depends_on", {}).items():
            assert other in SERVICES, (name, other)
            assert how["condition"] in CONDITIONS
            if how["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[other]
        assert set(row["networks"]) <= set(DATA["networks"])
        for volume in row.get("volumes", ()):
            assert volume.partition(":")[0] in DATA["volumes"]


def test_releases_run_once_in_the_order_of_deploys() -> None:
    waits = SERVICES["chat-service-release"]["depends_on"]
    assert waits["api-monolith-release"] == {"condition": "service_completed_successfully"}
    assert "restart" not in SERVICES["chat-service-release"]
    assert SERVICES["router"]["depends_on"]["router-release"] == waits["api-monolith-release"]
    started: set[str] = set()
    left = dict(SERVICES)
    while left:
        ready = [n for n, row in left.items() if set(row.get("depends_on", {})) <= started]
        assert ready, f"these wait for each other: {sorted(left)}"
        started |= set(ready)
        for name in ready:
            del left[name]


def test_port_is_set_for_web_processes_only() -> None:
    for name, row in SERVICES.items():
        is_web = name in app_models(MANIFEST)
        assert ("PORT" in row.get("environment", {})) == is_web, name


def test_apps_that_show_the_same_files_share_the_folder() -> None:
    for name in ("api-monolith", "media-service", "chat-service"):
        assert SERVICES[name]["volumes"] == ["media-files:/media"]
        assert SERVICES[name]["environment"]["MEDIA_DIR"] == "/media"
