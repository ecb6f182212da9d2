"""Procfiles, app.json, set-up script and Dockerfile agree with the manifest and with what Dokku can do."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from migrate.dokku.desired import app_models
from migrate.dokku.doctor import pinned_plugins
from migrate.dokku.grammar import check
from migrate.dokku.grammar_facts import versions
from migrate.dokku.procfile import json_with_comments, processes
from shared.manifest import load_manifest

ROOT = Path(__file__).parents[3]
MANIFEST = load_manifest(ROOT / "migration.toml")
APPS = tuple(app_models(MANIFEST))


def entries(app: str) -> dict[str, str]:
    return processes((ROOT / "dokku" / app / "Procfile").read_text())


@pytest.mark.parametrize("app", APPS)
def test_every_scaled_process_has_a_command(app: str) -> None:
    scale = {name: row.quantity for name, row in app_models(MANIFEST)[app].processes.items()}
    assert {name for name, count in scale.items() if count} <= set(entries(app))


@pytest.mark.parametrize("app", APPS)
def test_every_command_is_scaled_or_a_release(app: str) -> None:
    """A process that nobody scales would never run; only tools are meant so."""
    if app != "operator":
        assert set(entries(app)) - {"release"} == set(app_models(MANIFEST)[app].processes)


@pytest.mark.parametrize("app", APPS)
def test_commands_need_no_shell(app: str) -> None:
    for name, command in entries(app).items():
        words = shlex.split(command)
        assert words[:2] == ["python", "-m"], name
        assert not re.search(r"[|&;<>`*?~]|\$\(|\$\{|\s#|\s//", command), name
        assert "=" not in words[0]


@pytest.mark.parametrize("app", APPS)
def test_web_processes_are_checked_before_they_get_traffic(app: str) -> None:
    data = json_with_comments((ROOT / "dokku" / app / "app.json").read_text())
    assert "formation" not in data, "it would forbid the manifest's scale"
    checks = data["healthchecks"]
    for process, row in app_models(MANIFEST)[app].processes.items():
        if not row.quantity:
            continue
        types = [entry["type"] for entry in checks[process]]
        assert "startup" in types
        assert set(types) <= {"startup", "readiness", "liveness"}
    for entry in checks.get("web", []):
        paths = {"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"}
        assert entry["path"] == paths[entry["type"]]


@pytest.mark.parametrize("app", APPS)
def test_tasks_by_the_clock_are_those_of_the_manifest(app: str) -> None:
    """Dokku reads app.json and a plan reads the manifest."""
    data = json_with_comments((ROOT / "dokku" / app / "app.json").read_text())
    wanted = [task.model_dump() for task in app_models(MANIFEST)[app].cron]
    assert data.get("cron", []) == wanted


@pytest.mark.parametrize("app", APPS)
def test_a_change_of_an_app_s_own_files_deploys_it(app: str) -> None:
    paths = app_models(MANIFEST)[app].paths
    assert f"dokku/{app}" in paths
    for path in paths:
        assert not path.startswith("/")


def test_shared_paths_exist() -> None:
    assert MANIFEST.dokku is not None
    for path in (*MANIFEST.dokku.shared_paths, MANIFEST.dokku.dockerfile):
        assert (ROOT / path).exists(), path


def test_the_set_up_script_pins_the_versions_that_the_grammar_is_of() -> None:
    text = (ROOT / "dokku" / "host-setup.sh").read_text()
    pins = {f"dokku-{name}": version for name, version in pinned_plugins(text).items()}
    known = versions()
    assert pins == {name: known[name] for name in pins}
    assert set(pins) == {
        "dokku-postgres", "dokku-redis", "dokku-rabbitmq", "dokku-letsencrypt", "dokku-maintenance",
    }  # fmt: skip
    assert f"dokku_version={known['dokku']}" in text


def test_every_command_of_the_set_up_script_is_in_the_grammar() -> None:
    text = (ROOT / "dokku" / "host-setup.sh").read_text()
    lines = re.findall(r"(?:^|\| |if )\s*dokku ([a-z][^>|;\n]*)", text, flags=re.MULTILINE)
    assert len(lines) >= 6
    for line in lines:
        check(shlex.split(line.replace('"$1"', "key").replace('"$url"', "url").strip()))


def test_stores_are_pinned_in_the_same_versions_everywhere() -> None:
    assert MANIFEST.dokku is not None
    kinds: dict[str, set[str]] = {}
    for store in MANIFEST.dokku.stores.values():
        kinds.setdefault(store.kind, set()).add(store.image_version)
    assert all(len(found) == 1 for found in kinds.values())


def test_the_dockerfile_copies_what_the_processes_import() -> None:
    text = (ROOT / "dokku" / "Dockerfile").read_text()
    assert "ENTRYPOINT" not in re.sub(r"^#.*$", "", text, flags=re.MULTILINE)
    assert re.search(r"^USER 1000$", text, flags=re.MULTILINE)
    copied = set(re.findall(r"^COPY (\w+)/ ", text, flags=re.MULTILINE))
    used = {
        shlex.split(command)[2].split(".")[0] for app in APPS for command in entries(app).values()
    }
    assert used <= copied
    for tag in re.findall(r"^FROM (\S+)", text, flags=re.MULTILINE):
        assert re.search(r":\d+\.\d+\.\d+", tag), f"{tag} is not pinned"
