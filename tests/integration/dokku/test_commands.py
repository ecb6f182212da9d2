"""The commands as an operator types them: output, exit codes, and the wrapper script."""

from __future__ import annotations

import asyncio
import copy
import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from migrate.cli import app
from migrate.exit_codes import exit_code
from shared.errors import StranglerError
from shared.manifest import Manifest
from tests.dokku_host.host import FakeHost, make_host
from tests.dokku_host.operator_side import applier_for
from tests.dokku_host.postgres import Databases
from tests.dokku_host.server import DokkuServer
from tests.integration.dokku.conftest import commit, operator_environment

ROOT = Path(__file__).parents[3]
APP = "payment-service"


@pytest.fixture(scope="module")
def provisioned(databases: Databases, manifest: Manifest) -> Iterator[FakeHost]:
    """One provisioned app; tests work on copies of its state."""
    host = make_host(databases)

    async def build() -> None:
        await (await applier_for(host, manifest)).apply((APP,))

    asyncio.run(build())
    yield host
    databases.clean()


@pytest.fixture
def host(provisioned: FakeHost) -> FakeHost:
    return FakeHost(provisioned.databases, copy.deepcopy(provisioned.state))


@dataclass
class Done:
    """What an operator sees of a command."""

    returncode: int
    stdout: str
    stderr: str


class Operator:
    """Types commands in a checkout; in this process, because starting one takes longer than most of them."""

    def __init__(self, server: DokkuServer, checkout: Path) -> None:
        self.environment = operator_environment(server)
        self.checkout = checkout

    def __call__(self, *words: str) -> Done:
        result = CliRunner().invoke(app, words, env=self.environment, standalone_mode=False)
        error = result.exception
        if error is None:
            return Done(int(result.return_value or 0), result.stdout, result.stderr)
        assert isinstance(error, StranglerError), repr(error)
        return Done(int(exit_code(error)), result.stdout, result.stderr + error.message)


@pytest.fixture
def operator(server: DokkuServer, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> Operator:
    monkeypatch.chdir(checkout)
    return Operator(server, checkout)


def test_deploy_pushes_shows_and_goes_back(operator: Operator, host: FakeHost) -> None:
    foreseen = operator("deploy", APP, "--dry-run", "--json")
    assert foreseen.returncode == 0, foreseen.stderr
    (row,) = json.loads(foreseen.stdout)["apps"]
    assert (row["app"], row["reason"]) == (APP, "first deploy")
    assert host.state.apps[APP].source == ""

    done = operator("deploy", APP)
    assert done.returncode == 0, done.stderr
    first = host.state.apps[APP].source
    assert f"{APP}: runs {first[:12]}" in done.stdout

    (operator.checkout / "dokku" / APP / "Procfile").write_text(
        "web: python -m x\nworker: python -m y\n"
    )
    second = commit(operator.checkout, "another Procfile")
    preview = operator("dokku", "preview", APP)
    assert preview.returncode == 0, preview.stderr
    assert f"{first[:12]} → {second[:12]}" in preview.stdout
    assert f"dokku/{APP}/Procfile" in preview.stdout
    assert "2 × web: python -m x" in preview.stdout
    assert "GET /healthz answers 2xx" in preview.stdout

    drift = operator("dokku", "drift", APP)
    assert drift.returncode == 2, "a newer commit waits"
    assert "1 file(s) changed since" in drift.stdout

    assert operator("deploy", APP).returncode == 0
    assert host.state.apps[APP].source == second
    assert operator("dokku", "drift", APP).returncode == 0
    back = operator("deploy", "--rollback", APP, "--json")
    assert back.returncode == 0, back.stderr
    assert json.loads(back.stdout)["deployed"][0]["revision"] == first
    assert host.state.apps[APP].source == first


def test_a_deploy_of_an_app_that_is_not_there_says_what_to_type(operator: Operator) -> None:
    done = operator("deploy", "auth-service")
    assert done.returncode == 3
    assert "migrate dokku apply auth-service" in done.stderr


def test_a_failed_deploy_has_the_host_s_words_and_the_way_back(
    operator: Operator, host: FakeHost
) -> None:
    host.failing_deploys.add(APP)
    done = operator("deploy", APP)
    assert done.returncode == 1
    assert "web container failed its checks" in done.stderr
    assert f"migrate deploy --rollback {APP}" in done.stderr


def test_the_wrapper_script_is_the_same_command(operator: Operator) -> None:
    done = subprocess.run(
        [str(ROOT / "deploy-all.sh"), APP, "--dry-run", "--json"],
        env=operator.environment, capture_output=True, text=True, check=False, timeout=110,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["apps"][0]["app"] == APP


def test_phases_are_listed_and_shown_without_a_control_store(operator: Operator) -> None:
    listed = operator("phase", "list", "--json")
    assert listed.returncode == 0, listed.stderr
    rows = json.loads(listed.stdout)
    assert [row["name"] for row in rows][-1] == "retirement"
    assert {row["status"] for row in rows} == {"unknown"}
    shown = operator("phase", "show", "8")
    assert "prove that nothing reaches the monolith for 60 min" in shown.stdout
    early = operator("phase", "start", "2", "--yes")
    assert early.returncode == 3
    assert "comes after phase 1" in early.stderr


def test_unknown_words_are_refused(operator: Operator) -> None:
    assert operator("dokku", "plan", "chat").returncode == 7
    assert operator("phase", "show", "99").returncode == 3
    assert operator("dokku", "plan", "--host", "not a host").returncode == 1


def test_an_apply_that_interrupts_needs_a_yes(operator: Operator, host: FakeHost) -> None:
    host.state.stores["postgres", "scenextras-db"].post_create_network = ""
    done = operator("dokku", "apply", APP)
    assert done.returncode == 3
    assert "say --yes to go on" in done.stdout
    assert "declined" in done.stderr
    host.log.clear()
    kept = operator("dokku", "apply", APP, "--yes", "--json")
    assert kept.returncode == 0, kept.stderr
    assert json.loads(kept.stdout)["remaining"]["empty"]


def test_apply_can_leave_containers_alone(operator: Operator, host: FakeHost) -> None:
    assert operator("deploy", APP).returncode == 0
    host.state.apps[APP].config["LOG_LEVEL"] = "debug"
    host.log.clear()
    done = operator("dokku", "apply", APP, "--no-restart")
    assert done.returncode == 0, done.stderr
    assert not [line for line in host.changes() if line.startswith("ps:restart")]
    assert host.state.apps[APP].config["LOG_LEVEL"] == "info"


def test_a_compose_file_and_a_script_are_written_to_files(operator: Operator) -> None:
    for words in (("compose", "-o", "compose.yaml"), ("script", APP, "-o", "host.sh")):
        done = operator("dokku", *words)
        assert done.returncode == 0, done.stderr
    assert "services:" in (operator.checkout / "compose.yaml").read_text()
    script = operator.checkout / "host.sh"
    assert script.stat().st_mode & 0o111
    assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0


async def test_phases_are_marked_and_proven_in_the_control_store(
    operator: Operator, database: str
) -> None:
    """Where the database can be reached, the commands run here and not in a container of the host."""
    operator.environment["SHARED_DATABASE_URL"] = database
    operator.environment["STRANGLER_ACTOR"] = "test"
    shutil.copy(ROOT / "migration.toml", operator.checkout / "migration.toml")

    async def typed(*words: str) -> Done:
        return await asyncio.to_thread(operator, *words)

    assert (await typed("db", "migrate")).returncode == 0
    assert (await typed("phase", "mark", "1", "started")).returncode == 0
    listed = json.loads((await typed("phase", "list", "--json")).stdout)
    assert [row["status"] for row in listed][:2] == ["started", "pending"]
    assert (await typed("phase", "mark", "2", "completed")).returncode == 3, "it was never started"
    operator.environment |= {"ROUTER_ADMIN_URL": "http://127.0.0.1:1", "ADMIN_TOKEN": "t"}
    proof = await typed("phase", "proof", "--quiet-minutes", "0")
    assert proof.returncode == 3
    assert "content has routes at 0 percent" in proof.stdout
    assert "the monolith is still needed" in proof.stdout
