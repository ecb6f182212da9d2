"""Environment files, logs, ports and homes of servers."""

from __future__ import annotations

import asyncio
import shutil
import socket
import stat
import subprocess
from pathlib import Path

import pytest

from migrate.stack import accounts
from migrate.stack.env_file import read_env_file, write_env_file
from migrate.stack.errors import StackError
from migrate.stack.lock import exclusive
from migrate.stack.logs import follow, tail
from migrate.stack.ports import PORT_RANGE, free_port, is_free
from migrate.stack.state import StackState, assign_ports, read_state, write_state

AWKWARD = {
    "URL": "postgresql://u:p'w$x@h/db?a=b c",
    "EMPTY": "",
    "QUOTES": "\"'`$(id)\\",
    "K": "é==",
}


def test_an_env_file_gives_back_any_value(tmp_path: Path) -> None:
    path = tmp_path / "a.env"
    write_env_file(path, AWKWARD)
    assert read_env_file(path) == AWKWARD


def test_a_shell_reads_an_env_file_as_we_do(tmp_path: Path) -> None:
    path = tmp_path / "a.env"
    write_env_file(path, AWKWARD)
    script = f'set -a; . "{path}"; printf "%s\\n" "$URL" "$QUOTES"'
    shown = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=True)
    assert shown.stdout == f"{AWKWARD['URL']}\n{AWKWARD['QUOTES']}\n"


def test_an_env_file_is_readable_by_its_owner_alone_and_leaves_no_draft(tmp_path: Path) -> None:
    path = tmp_path / "env" / "a.env"
    write_env_file(path, {"A": "1"})
    write_env_file(path, {"A": "2"})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["a.env"]


def test_tail_gives_the_last_lines_and_nothing_for_a_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    assert tail(path) == ""
    path.write_text("".join(f"line {n}\n" for n in range(100)))
    assert tail(path, 3) == "line 97\nline 98\nline 99"
    assert tail(path, 0) == ""


async def test_follow_gives_whole_new_lines_also_of_a_file_that_appears_later(
    tmp_path: Path,
) -> None:
    old, new = tmp_path / "old.log", tmp_path / "new.log"
    old.write_text("before\n")
    lines: list[tuple[str, str]] = []

    async def read() -> None:
        async for entry in follow({"old": old, "new": new}):
            lines.append(entry)
            if len(lines) == 3:
                return

    reader = asyncio.create_task(read())
    await asyncio.sleep(0)
    with old.open("a") as file:
        file.write("one\ntw")
        file.flush()
        await asyncio.sleep(0.3)
        assert lines == [("old", "one")]
        file.write("o\n")
    new.write_text("fresh\n")
    async with asyncio.timeout(10):
        await reader
    assert sorted(lines) == [("new", "fresh"), ("old", "one"), ("old", "two")]


def test_a_free_port_is_outside_the_range_of_client_ports() -> None:
    low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    port = free_port()
    assert port in PORT_RANGE
    assert PORT_RANGE.stop <= low


def test_ports_in_a_row_skip_those_that_are_taken() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        taken = listener.getsockname()[1]
        assert not is_free(taken)
        ports = assign_ports({"router": taken, "a": 21_000}, {"router": 1, "x": 3}, set())
        assert ports["router"] != taken
        assert 21_000 not in range(ports["x"], ports["x"] + 3)


def test_a_running_process_keeps_its_port_although_it_is_busy() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        known = {"router": port, "router-admin": port}
        assert assign_ports(known, {"router": 1, "router-admin": 1}, {"router"}) == known


def test_the_state_file_gives_back_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    assert read_state(path) == StackState()
    state = StackState(ports={"router": 8080}, servers={"postgres": "private"}, started_at=1.0)
    write_state(path, state)
    assert read_state(path) == state
    assert state.public_url == "http://127.0.0.1:8080"


async def test_a_lock_is_waited_for_and_the_wait_has_a_deadline(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    async with exclusive(path, 1):
        with pytest.raises(StackError, match=str(path)):
            async with exclusive(path, 0.05):
                pass
    async with exclusive(path, 0.05):
        assert path.exists()


def test_a_server_lives_beside_its_stack_when_its_account_can_get_there(tmp_path: Path) -> None:
    home = accounts.server_home(tmp_path / "stack", "redis", None)
    assert home == tmp_path / "stack" / "redis"
    assert stat.S_IMODE(home.stat().st_mode) == 0o700


def test_a_private_checkout_gets_a_reachable_server_home_and_loses_it_again(tmp_path: Path) -> None:
    account = accounts.server_account("postgres")
    if account is None:  # an ordinary user runs servers under their own name, wherever
        assert accounts.server_home(tmp_path, "postgres", None) == tmp_path / "postgres"
        return
    tmp_path.chmod(0o700)
    home = accounts.server_home(tmp_path, "postgres", account)
    try:
        assert accounts.is_reachable_by_others(home.parent)
        assert (tmp_path / "postgres").readlink() == home
        assert home.owner() == account
        assert accounts.server_home(tmp_path, "postgres", account) == home
    finally:
        accounts.remove_home(tmp_path, "postgres")
    assert not home.exists()
    assert not (tmp_path / "postgres").is_symlink()


def test_a_home_whose_stack_is_gone_is_removed_and_no_other(tmp_path: Path) -> None:
    account = accounts.server_account("redis")
    tmp_path.chmod(0o700)
    gone, kept = tmp_path / "gone", tmp_path / "kept"
    homes = [accounts.server_home(folder, "redis", account) for folder in (gone, kept)]
    shutil.rmtree(gone)
    accounts.remove_stale_homes()
    assert [home.exists() for home in homes] == [False, True]
    accounts.remove_home(kept, "redis")
