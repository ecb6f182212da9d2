"""Procfile and app.json as Dokku reads them, and the compose file."""

from __future__ import annotations

import json

import pytest
import yaml

from migrate.dokku import reports
from migrate.dokku.compose import compose_file
from migrate.dokku.procfile import argv, json_with_comments, processes
from shared.manifest import load_manifest


def test_a_procfile_is_split_into_commands_and_comments_are_cut() -> None:
    text = "# first\nweb: python -m web --port $PORT # here\nworker: python -m worker // there\n"
    assert processes(text) == {"web": "python -m web --port $PORT", "worker": "python -m worker"}


def test_variables_are_expanded_by_no_shell() -> None:
    command = "python -m web --port $PORT --default ${PORT:-8080} $(date) '$HOME dir'"
    assert argv(command, {"PORT": "5000", "HOME": "/app"}) == [
        "python", "-m", "web", "--port", "5000", "--default", "date)", "/app dir",
    ]  # fmt: skip


def test_port_is_empty_in_a_worker() -> None:
    assert argv("python -m worker --port $PORT", {"PORT": ""}) == [
        "python",
        "-m",
        "worker",
        "--port",
    ]


def test_app_json_may_hold_comments() -> None:
    text = '{ // why\n "a": "http://x", /* and */ "b": [1, 2,],\n}'
    assert json_with_comments(text) == {"a": "http://x", "b": [1, 2]}


def test_app_json_must_be_an_object() -> None:
    with pytest.raises(json.JSONDecodeError):
        json_with_comments("[]")


def test_a_report_has_its_short_keys() -> None:
    text = json.dumps({"--ports-map": "old", "map": "new", "--ports-map-json": "[]"})
    assert reports.report("ports", text) == {"map": "new", "map-json": "[]"}


def test_an_answer_that_is_no_json_names_the_command() -> None:
    with pytest.raises(reports.UnreadableReportError, match="dokku ps:report"):
        reports.report("ps", "=====> chat ps information")


def test_the_information_of_a_store_is_read_from_its_lines() -> None:
    text = (
        "=====> chat-db postgres service information\n"
        "       Dsn:                 postgres://postgres:x@dokku-postgres-chat-db:5432/chat_db\n"
        "       Exposed ports:       -\n"
        "       Version:             postgres:17.6\n"
    )
    assert reports.information(text) == {
        "dsn": "postgres://postgres:x@dokku-postgres-chat-db:5432/chat_db",
        "exposed-ports": "",
        "version": "postgres:17.6",
    }


def test_the_compose_file_has_every_app_and_store_on_the_same_names() -> None:
    manifest = load_manifest()
    data = yaml.safe_load(compose_file(manifest))
    services = data["services"]
    assert manifest.dokku is not None
    assert set(manifest.dokku.stores) <= set(services)
    router = services["router"]
    assert router["environment"]["CHAT_URL"] == "http://chat-service.web:8080"
    assert services["chat-service"]["networks"]["internal"]["aliases"] == ["chat-service.web"]
    assert router["ports"] == ["8080:8080"]
    assert "ports" not in services["chat-service"]
    assert "PORT" not in services["chat-service-worker"]["environment"]
    assert router["depends_on"]["router-release"] == {"condition": "service_completed_successfully"}
    assert services["operator-console"]["profiles"] == ["tools"]
    assert services["scenextras-db"]["image"] == "postgres:17.6"
    text = compose_file(manifest)
    assert "JWT_SECRETS: ${JWT_SECRETS:?is not set}" in text
