"""The supervisor over real processes: exit codes, trees, orphans, owners, and its own death."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from migrate.stack.env_file import write_env_file
from migrate.stack.errors import StackError, SupervisorUnreachableError
from migrate.stack.process import ProcessSpec, ProcessState
from migrate.stack.process_tree import identify
from migrate.stack.supervisor.client import SupervisorClient

SLEEP = ("sleep", "300")


@pytest.fixture
async def supervisor(tmp_path: Path) -> AsyncIterator[SupervisorClient]:
    client = SupervisorClient(tmp_path)
    await client.ensure(owner_pid=os.getpid())
    yield client
    await client.shut_down()


def spec(folder: Path, name: str, *argv: str, **fields: object) -> ProcessSpec:
    env_file = folder / f"{name}.env"
    write_env_file(env_file, {"COLOUR": "green and blue"})
    values: dict[str, object] = {
        "name": name,
        "argv": argv,
        "cwd": str(folder),
        "env_file": str(env_file),
        "log_file": str(folder / f"{name}.log"),
        "stop_seconds": 0.5,
    }
    return ProcessSpec.model_validate(values | fields)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.02)


async def ended(supervisor: SupervisorClient, name: str) -> ProcessState:
    await supervisor.wait_until_ended(name)
    return next(state for state in await supervisor.processes() if state.name == name)


async def test_a_crash_is_named_with_its_exit_code_and_its_output_is_kept(
    supervisor: SupervisorClient, tmp_path: Path
) -> None:
    await supervisor.start(spec(tmp_path, "bad", "sh", "-c", "echo no luck >&2; exit 7"))
    state = await ended(supervisor, "bad")
    assert (state.status, state.exit_code) == ("crashed", 7)
    assert (tmp_path / "bad.log").read_text() == "no luck\n"


async def test_a_process_sees_its_env_file_and_not_the_environment_of_the_command(
    supervisor: SupervisorClient, tmp_path: Path
) -> None:
    shown = 'echo "$COLOUR/$STRANGLER_TEST_RUN"'
    await supervisor.start(spec(tmp_path, "plain", "sh", "-c", shown))
    await supervisor.start(spec(tmp_path, "heir", "sh", "-c", shown, inherits=True))
    await ended(supervisor, "plain")
    await ended(supervisor, "heir")
    assert (tmp_path / "plain.log").read_text() == "green and blue/\n"
    run = os.environ["STRANGLER_TEST_RUN"]
    assert (tmp_path / "heir.log").read_text() == f"green and blue/{run}\n"


async def test_no_secret_is_in_the_supervisors_record(
    supervisor: SupervisorClient, tmp_path: Path
) -> None:
    await supervisor.start(spec(tmp_path, "one", *SLEEP))
    assert "green" not in supervisor.record_path.read_text()
    assert supervisor.record_path.stat().st_mode & 0o077 == 0


async def test_a_process_that_ignores_the_request_to_stop_is_killed(
    supervisor: SupervisorClient, tmp_path: Path
) -> None:
    deaf = "trap '' TERM; echo up; while :; do sleep 0.1; done"
    await supervisor.start(spec(tmp_path, "deaf", "sh", "-c", deaf))
    await until(lambda: (tmp_path / "deaf.log").read_text() == "up\n")
    await supervisor.stop("deaf")
    state = (await supervisor.processes())[0]
    assert (state.status, state.exit_code) == ("stopped", -signal.SIGKILL)


async def test_a_frozen_process_can_be_stopped(
    supervisor: SupervisorClient, tmp_path: Path
) -> None:
    await supervisor.start(spec(tmp_path, "cold", *SLEEP, stop_seconds=10.0))
    await supervisor.signal("cold", "SIGSTOP")
    await supervisor.stop("cold")
    assert (await supervisor.processes())[0].exit_code == -signal.SIGTERM


async def test_children_do_not_outlive_a_killed_parent(
    supervisor: SupervisorClient, tmp_path: Path
) -> None:
    family = f"setsid sleep 300 & echo $! > {tmp_path}/child; sleep 300"
    state = await supervisor.start(spec(tmp_path, "parent", "sh", "-c", family))
    await until(lambda: (tmp_path / "child").exists() and (tmp_path / "child").read_text() != "")
    child = int((tmp_path / "child").read_text())
    os.kill(state.pid, signal.SIGKILL)
    await until(lambda: identify(child) is None)
    assert (await supervisor.processes())[0].status == "crashed"


async def test_a_daemon_that_detached_is_gone_when_its_process_is_stopped(
    supervisor: SupervisorClient, tmp_path: Path
) -> None:
    detach = f"(setsid sleep 300 & echo $! > {tmp_path}/daemon); exec sleep 300"
    await supervisor.start(spec(tmp_path, "host", "sh", "-c", detach))
    await until(lambda: (tmp_path / "daemon").exists() and (tmp_path / "daemon").read_text() != "")
    daemon = int((tmp_path / "daemon").read_text())
    assert identify(daemon) is not None
    await supervisor.stop("host")
    assert identify(daemon) is None


async def test_starting_what_runs_changes_nothing_and_a_crashed_one_is_started_again(
    supervisor: SupervisorClient, tmp_path: Path
) -> None:
    first = await supervisor.start(spec(tmp_path, "one", *SLEEP))
    assert (await supervisor.start(spec(tmp_path, "one", *SLEEP))).pid == first.pid
    os.kill(first.pid, signal.SIGKILL)
    await supervisor.wait_until_ended("one")
    again = await supervisor.start(spec(tmp_path, "one", *SLEEP))
    assert again.pid != first.pid
    assert again.is_running


async def test_a_program_that_does_not_exist_is_an_error_and_starts_nothing(
    supervisor: SupervisorClient, tmp_path: Path
) -> None:
    with pytest.raises(StackError, match="no-such-program"):
        await supervisor.start(spec(tmp_path, "ghost", "no-such-program"))
    assert await supervisor.processes() == ()


async def test_higher_layers_are_stopped_first(
    supervisor: SupervisorClient, tmp_path: Path
) -> None:
    log = tmp_path / "order"
    for name, layer in (("server", 0), ("app", 3), ("worker", 2)):
        script = (
            f"trap 'echo {name} >> {log}; exit' TERM; touch {name}.up; while :; do sleep 0.05; done"
        )
        await supervisor.start(
            spec(tmp_path, name, "sh", "-c", script, layer=layer, stop_seconds=9)
        )
    await until(lambda: all((tmp_path / f"{n}.up").exists() for n in ("server", "app", "worker")))
    await supervisor.shut_down()
    assert log.read_text().split() == ["app", "worker", "server"]


async def test_two_commands_at_once_share_one_supervisor(tmp_path: Path) -> None:
    clients = [SupervisorClient(tmp_path) for _ in range(4)]
    await asyncio.gather(*(client.ensure(owner_pid=os.getpid()) for client in clients))
    try:
        records = [client.read_record() for client in clients]
        assert len({record.pid for record in records if record is not None}) == 1
    finally:
        await clients[0].shut_down()
    assert not clients[0].is_alive()


async def test_everything_ends_with_its_owner(tmp_path: Path) -> None:
    owner = await asyncio.create_subprocess_exec("sleep", "300")
    supervisor = SupervisorClient(tmp_path)
    await supervisor.ensure(owner_pid=owner.pid)
    state = await supervisor.start(spec(tmp_path, "one", *SLEEP))
    owner.kill()
    await owner.wait()
    await until(lambda: identify(state.pid) is None and not supervisor.is_alive())


async def test_what_a_killed_supervisor_left_is_cleared_by_the_next_command(tmp_path: Path) -> None:
    supervisor = SupervisorClient(tmp_path)
    await supervisor.ensure(owner_pid=os.getpid())
    state = await supervisor.start(spec(tmp_path, "one", *SLEEP))
    record = supervisor.read_record()
    assert record is not None
    os.kill(record.pid, signal.SIGKILL)
    await until(lambda: not supervisor.is_alive())
    assert identify(state.pid) is not None
    await supervisor.ensure(owner_pid=os.getpid())
    try:
        await until(lambda: identify(state.pid) is None)
        assert await supervisor.processes() == ()
    finally:
        await supervisor.shut_down()


async def test_shutting_down_after_the_supervisor_was_killed_leaves_nothing(tmp_path: Path) -> None:
    supervisor = SupervisorClient(tmp_path)
    await supervisor.ensure(owner_pid=os.getpid())
    state = await supervisor.start(spec(tmp_path, "one", *SLEEP))
    record = supervisor.read_record()
    assert record is not None
    os.kill(record.pid, signal.SIGKILL)
    await until(lambda: not supervisor.is_alive())
    await supervisor.shut_down()
    await until(lambda: identify(state.pid) is None)
    assert supervisor.read_record() is None


async def test_a_directory_deeper_than_a_socket_path_works(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    supervisor = SupervisorClient(deep)
    await supervisor.ensure(owner_pid=os.getpid())
    record = supervisor.read_record()
    assert record is not None
    await supervisor.shut_down()
    assert not Path(record.socket).parent.exists()


async def test_without_a_supervisor_a_request_says_how_to_start_one(tmp_path: Path) -> None:
    supervisor = SupervisorClient(tmp_path)
    assert await supervisor.processes() == ()
    with pytest.raises(SupervisorUnreachableError) as caught:
        await supervisor.signal("one", "SIGKILL")
    assert caught.value.hint == "start it: migrate up"


def test_the_supervisor_refuses_an_owner_that_is_gone(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "migrate.stack.supervisor"]
    command += [str(tmp_path / "r.json"), str(tmp_path / "s.sock"), str(2**22 + 1)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "is gone" in result.stderr
