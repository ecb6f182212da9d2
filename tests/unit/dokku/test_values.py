"""Values of variables: from the operator's environment, a file, a command; and where the host is."""

from __future__ import annotations

from pathlib import Path

import pytest

from migrate.dokku.change import Hashing
from migrate.dokku.desired import desired_host
from migrate.dokku.script import write_script
from migrate.dokku.session import find_target, ssh_options
from migrate.dokku.values import resolve
from shared.errors import OperatorError
from shared.manifest import Manifest, parse_manifest
from shared.manifest_dokku import DokkuSection

TEXT = """
[project]
name = "demo"
public_host = "api.example.com"
[router]
app = "router"
[monolith]
app = "api"
[services]
[dokku]
host = "dokku.example.com"
[dokku.apps.api]
[dokku.apps.api.config]
PLAIN = "shown to everybody"
OTHER = { upstream = "api" }
FROM_SHELL = { env = "SECRET_OF_SHELL" }
FROM_FILE = { file = "secret.txt" }
FROM_COMMAND = { command = ["printf", "%s\\n\\n", "from a command"] }
ABSENT = { env = "NOT_SET" }
LEFT_OUT = { env = "NOT_SET_EITHER", optional = true }
NO_FILE = { file = "no-such-file" }
FAILING = { command = ["false"] }
NO_PROGRAM = { command = ["no-such-program-here"] }
"""


@pytest.fixture
def manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Manifest:
    (tmp_path / "secret.txt").write_text("two\nlines\n")
    monkeypatch.chdir(tmp_path)
    return parse_manifest(TEXT)


async def test_every_source_gives_its_value_and_only_plain_ones_are_shown(
    manifest: Manifest,
) -> None:
    values, missing = await resolve(manifest, {"SECRET_OF_SHELL": "from the shell"})
    found = {key: value.text for (_, key), value in values.items()}
    assert found == {
        "PLAIN": "shown to everybody",
        "OTHER": "http://api.web:8080",
        "FROM_SHELL": "from the shell",
        "FROM_FILE": "two\nlines",
        "FROM_COMMAND": "from a command\n",
    }
    hashing = Hashing(b"k")
    shown = {key: hashing.show(value) for (_, key), value in values.items()}
    assert shown["PLAIN"] == "shown to everybody"
    for key in ("FROM_SHELL", "FROM_FILE", "FROM_COMMAND"):
        assert shown[key].startswith("#")
        assert found[key] not in repr(values)
    assert {key: advice for (_, key), advice in missing.items()} == {
        "ABSENT": "export NOT_SET=…",
        "NO_FILE": "write the file no-such-file",
        "FAILING": "`false` must print it",
        "NO_PROGRAM": "`no-such-program-here` must print it",
    }


async def test_a_script_asks_the_same_sources_and_holds_no_secret(manifest: Manifest) -> None:
    values, missing = await resolve(manifest, {"SECRET_OF_SHELL": "from the shell"})
    text = write_script(desired_host(manifest, values, missing), ("api",))
    assert 'FROM_SHELL="$SECRET_OF_SHELL"' in text
    assert 'FROM_FILE="$(cat secret.txt)"' in text
    assert "FROM_COMMAND=\"$(printf '%s" in text
    assert "from the shell" not in text
    assert "two\nlines" not in text


def test_equal_secrets_look_equal_and_nothing_can_be_guessed_from_another_plan() -> None:
    assert Hashing(b"one").digest("secret") == Hashing(b"one").digest("secret")
    assert Hashing(b"one").digest("secret") != Hashing(b"two").digest("secret")
    assert "secret" not in repr(Hashing(b"secret"))


@pytest.mark.parametrize(
    ("named", "environment", "shown"),
    [
        (None, {}, "dokku@dokku.example.com"),
        (None, {"DOKKU_HOST": "ops@10.0.0.1:2222"}, "ops@10.0.0.1:2222"),
        ("other.example.com", {"DOKKU_HOST": "ops@10.0.0.1"}, "dokku@other.example.com"),
        ("local", {}, "this machine"),
    ],
)
def test_the_host_is_that_of_the_line_then_the_environment_then_the_manifest(
    named: str | None, environment: dict[str, str], shown: str
) -> None:
    section = DokkuSection(host="dokku.example.com")
    assert str(find_target(section, named, environment)) == shown


@pytest.mark.parametrize("named", ["-oProxyCommand=x", "a b", "user@", "host:port", ""])
def test_what_ssh_could_misread_is_no_host(named: str) -> None:
    with pytest.raises(OperatorError, match="does not look like"):
        find_target(DokkuSection(host="-x"), named, {})


def test_more_words_for_ssh_are_split_as_a_shell_would() -> None:
    env = {"DOKKU_SSH_OPTIONS": "-i '/home/a b/key' -o X=1"}
    assert ssh_options(env) == ("-i", "/home/a b/key", "-o", "X=1")
