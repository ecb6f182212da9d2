"""Procfile, app.json and reports as Dokku writes and reads them."""

from __future__ import annotations

import json

import pytest

from migrate.dokku import reports
from migrate.dokku.procfile import argv, json_with_comments, processes


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
