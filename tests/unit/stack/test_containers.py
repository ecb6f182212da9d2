"""Servers in containers: which ones, and the compose file that describes them."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from migrate.stack.env_file import read_env_file
from migrate.stack.errors import StackError
from migrate.stack.programs import Programs as Found
from migrate.stack.programs import ServerKind
from migrate.stack.servers import PrivateServers
from migrate.stack.servers.choice import contained_kinds
from migrate.stack.servers.containers import compose_service, container_server, project_name
from migrate.stack.servers.server import ServerSite

ALL: tuple[ServerKind, ...] = ("postgres", "redis", "rabbitmq")
NO_REDIS = Found(postgres=Path("/p"), redis=None, rabbitmq=Path("/r"), epmd=Path("/e"))


def site(tmp_path: Path, kind: ServerKind, *, durable: bool = True) -> ServerSite:
    return ServerSite(
        home=tmp_path / kind,
        port=25_000,
        password="pa$$ word",
        account=None,
        log_file=tmp_path / f"{kind}.log",
        env_file=tmp_path / f"{kind}.env",
        durable=durable,
    )


def test_only_what_is_missing_runs_in_a_container() -> None:
    assert contained_kinds({}, NO_REDIS, ALL, lambda: True) == {"redis"}
    assert contained_kinds({}, NO_REDIS, ALL, lambda: False) == frozenset()
    assert contained_kinds({}, NO_REDIS, ("postgres",), lambda: True) == frozenset()


def test_the_engine_is_not_asked_when_nothing_is_missing() -> None:
    def asked() -> bool:
        raise AssertionError("asked")

    present = Found(Path("/p"), Path("/q"), Path("/r"), Path("/e"))
    assert contained_kinds({}, present, ALL, asked) == frozenset()


def test_the_operator_decides_about_containers() -> None:
    assert contained_kinds({"STACK_CONTAINERS": "off"}, NO_REDIS, ALL, lambda: True) == frozenset()
    assert contained_kinds({"STACK_CONTAINERS": "on"}, NO_REDIS, ALL, lambda: True) == set(ALL)
    with pytest.raises(StackError, match="docker info"):
        contained_kinds({"STACK_CONTAINERS": "on"}, NO_REDIS, ALL, lambda: False)
    with pytest.raises(StackError, match="it is on, off or unset"):
        contained_kinds({"STACK_CONTAINERS": "yes"}, NO_REDIS, ALL, lambda: True)


async def test_the_compose_file_has_every_server_on_loopback_and_no_secret(tmp_path: Path) -> None:
    file = tmp_path / "compose.yml"
    for kind in ALL:
        await container_server(kind, site(tmp_path, kind), file).prepare()
    document = json.loads(file.read_text())
    assert set(document["services"]) == set(ALL)
    assert document["name"] == project_name(tmp_path)
    assert "pa$$ word" not in file.read_text()
    for kind in ALL:
        assert document["services"][kind]["ports"][0].startswith("127.0.0.1:25000:")
        assert "pa$$ word" in read_env_file(tmp_path / f"{kind}.env").values()


def test_postgresql_in_a_container_is_ready_for_a_split(tmp_path: Path) -> None:
    words = compose_service("postgres", site(tmp_path, "postgres", durable=False))["command"]
    assert isinstance(words, list)
    assert "wal_level=logical" in words
    assert "fsync=off" in words


def test_two_checkouts_never_share_containers(tmp_path: Path) -> None:
    assert project_name(tmp_path / "a") != project_name(tmp_path / "b")


def test_the_redis_command_gives_redis_its_password(tmp_path: Path) -> None:
    command = compose_service("redis", site(tmp_path, "redis"))["command"]
    assert isinstance(command, list)
    script = (
        command[2].replace("$$", "$").replace("exec redis-server -", "cat")
    )  # compose unescapes $$
    shown = subprocess.run(
        [shutil.which("sh") or "sh", "-c", script],
        env={"REDIS_PASSWORD": "pa$$ word"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout == 'requirepass pa$$ word\nsave ""\n'


async def test_a_container_is_not_killed_as_if_it_were_a_process_of_ours(tmp_path: Path) -> None:
    servers = PrivateServers(tmp_path, ("redis",), contained=("redis",))
    with pytest.raises(StackError, match="container"):
        await servers.kill("redis")
