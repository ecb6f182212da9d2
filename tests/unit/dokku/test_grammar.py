"""The grammar of Dokku's commands: what it accepts, and what it refuses before anything is sent."""

from __future__ import annotations

import pytest

from migrate.dokku.argv import UnsafeWordError, command, ssh_line
from migrate.dokku.grammar import GrammarError, check
from migrate.dokku.grammar_facts import load, versions
from migrate.dokku.transport import Redactor, is_read

GOOD = (
    "apps:create chat-service",
    "apps:set --global disable-autocreation true",
    "apps:report --global --format json",
    "git:set chat-service deploy-branch main",
    "builder:set chat-service build-dir",
    "network:set chat-service attach-post-create internal other",
    "nginx:set router proxy-read-timeout 3600s",
    "postgres:create chat-db --image-version 17.6 --post-create-network internal",
    "postgres:link chat-db chat-service --alias CHAT_DB --no-restart",
    "letsencrypt:set --global email ops@example.com",
    "letsencrypt:cron-job --add",
    "letsencrypt:enable --all",
    "ports:set router http:80:8080 https:443:8080",
    "ps:scale --skip-deploy chat-service web=2 worker=1",
    "resource:limit --process-type web --memory clear chat-service",
    "--quiet config:import --no-restart --format json chat-service -",
    "run --no-tty operator python -m migrate.cli flag list --json",
    "docker-options:add --process web chat-service deploy --cap-add=X",
    "ps:set chat-service dockerfile-start-cmd -- --harmony",
    "network:report chat-service --network-tld",
)

#: What is wrong, and the line; those of the original scripts that Dokku refuses or misunderstands are here.
BAD = (
    ("unknown command", "apps:make chat"),
    ("nothing", ""),
    ("missing argument", "apps:create"),
    ("bad app name", "apps:create chat_service"),
    ("one argument too many", "apps:create chat now"),
    ("no such flag", "ps:rebuild chat --ref previous"),
    ("removed command", "proxy:ports-add chat http:80:8080"),
    ("renamed command", "scheduler-k3s:cluster-add ssh://root@node"),
    ("deprecated command", "maintenance:on chat"),
    ("deprecated flag", "config chat --export"),
    ("not implemented", "rabbitmq:export queue"),
    ("flags before the service", "postgres:create --image-version 17 chat-db"),
    ("flags after the app", "docker-options:add chat build --process web"),
    ("value of a flag is missing", "postgres:create chat-db --image-version"),
    ("no such property", "checks:set chat timeout 5"),
    ("no such property value", "builder:set chat selected docker"),
    ("not a number", "checks:set chat wait-to-retire soon"),
    ("not a policy", "ps:set chat restart-policy sometimes"),
    ("property left out", "scheduler:set chat k3s"),
    ("global in the wrong place", "letsencrypt:set email --global x@y.z"),
    ("broken check on the host", "domains:disable --all"),
    ("two-part port", "ports:set chat http:80"),
    ("format as one word", "network:report chat --format=json"),
    ("two information flags", "network:report chat --network-tld --network-initial-network"),
    ("flag twice", "ps:scale --skip-deploy --skip-deploy chat web=1"),
    ("a flag that Dokku takes for itself", "run chat migrate rollback chat --force"),
    ("config key", "config:set --no-restart chat 1A=b"),
    ("not a phase", "docker-options:add chat start --cap-add=X"),
    ("tracing prints secrets", "--trace apps:list"),
)  # fmt: skip


@pytest.mark.parametrize("line", GOOD)
def test_a_command_of_the_grammar_is_accepted(line: str) -> None:
    assert check(line.split()).facts.name == next(w for w in line.split() if w[:2] != "--")


@pytest.mark.parametrize(("why", "line"), BAD, ids=lambda value: value)
def test_a_command_outside_the_grammar_is_refused(why: str, line: str) -> None:
    with pytest.raises(GrammarError, match="was not sent"):
        check(line.split())


@pytest.mark.parametrize("word", ["", "two\nlines", "nul\0"])
def test_a_word_that_cannot_travel_is_refused(word: str) -> None:
    with pytest.raises(GrammarError):
        check(["apps:create", word])


def test_every_command_of_dokku_is_known() -> None:
    assert len(load()) == 409
    assert versions()["dokku"] == "0.38.27"


@pytest.mark.parametrize(
    ("line", "redeploys"),
    [
        ("config:set chat A=b", True),
        ("config:set --no-restart chat A=b", False),
        ("ps:scale chat web=2", True),
        ("ps:scale --skip-deploy chat web=2", False),
        ("ps:restart chat", True),
        ("nginx:set chat hsts true", False),
    ],
)
def test_it_is_known_what_replaces_containers(line: str, redeploys: bool) -> None:
    assert check(line.split()).redeploys is redeploys


def test_a_line_for_ssh_keeps_spaces_and_quotes() -> None:
    words = ["postgres:create", "db", "--config-options", "-c a=b -c c='d e'"]
    assert ssh_line(words) == "postgres:create db --config-options '-c a=b -c c='\"'\"'d e'\"'\"''"


@pytest.mark.parametrize(
    "words",
    [
        ["git:set", "chat", "deploy-branch", "two words"],
        ["postgres:link", "db", "chat", "-n"],
        ["postgres:info", "db", "--version"],
        ["logs", "chat", "--help"],
        ["config:set", "chat", "A=\n"],
    ],
)
def test_a_word_that_ssh_would_change_is_refused(words: list[str]) -> None:
    with pytest.raises(UnsafeWordError):
        ssh_line(words)


def test_only_reading_commands_may_be_sent_twice() -> None:
    assert is_read(command("ps:report", "chat", "--format", "json"))
    assert is_read(command("ps:scale", "--format", "json", "chat"))
    assert not is_read(command("ps:scale", "chat", "web=1"))
    assert not is_read(command("postgres:connect", "db", stdin=b"SELECT 1"))
    assert not is_read(command("apps:create", "chat"))


def test_the_input_of_a_command_is_in_no_text_of_it() -> None:
    one = command("config:import", "chat", "-", stdin=b'{"A": "hidden"}', stdin_from="a file")
    assert "hidden" not in repr(one) + str(one)


def test_known_secrets_are_taken_out_of_messages() -> None:
    assert Redactor(["s3cret-value", "x"])("it was s3cret-value, x") == "it was [hidden], x"
