"""Plans carried out: over OpenSSH, as a script, interrupted anywhere, on hosts that have a past."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from migrate.dokku.apply import (
    Applier,
    BlockedError,
    DeclinedError,
    DidNotStickError,
    NotRunningError,
)
from migrate.dokku.argv import command
from migrate.dokku.change import Effect, NoteKind, Plan
from migrate.dokku.desired import chosen, desired_host
from migrate.dokku.grammar import check
from migrate.dokku.transport import (
    CommandFailedError,
    CommandTimeoutError,
    HostUnreachableError,
    LocalTransport,
    SshTransport,
)
from shared.manifest import Manifest
from tests.dokku_host.host import FakeHost
from tests.dokku_host.operator_side import ENVIRONMENT, applier_for, deploy_directly, desired_for
from tests.dokku_host.server import CLIENT, DokkuServer
from tests.integration.dokku.conftest import operator_environment

GOLDEN = Path(__file__).parent / "golden"
SMALL = ("payment-service",)
ROOT = Path(__file__).parents[3]


def migrate(server: DokkuServer, *words: str) -> subprocess.CompletedProcess[str]:
    """The command itself, as an operator runs it."""
    return subprocess.run(
        [sys.executable, "-m", "migrate.cli", *words],
        cwd=ROOT, env=operator_environment(server), capture_output=True, text=True, check=False,
        timeout=110,
    )  # fmt: skip


async def test_an_empty_host_becomes_the_manifest_over_ssh(
    server: DokkuServer, host: FakeHost
) -> None:
    plan = await asyncio.to_thread(migrate, server, "dokku", "plan", *SMALL)
    assert plan.returncode == 2, plan.stderr
    assert "exists: no → yes" in plan.stdout
    assert ENVIRONMENT["JWT_SECRETS"] not in plan.stdout
    applied = await asyncio.to_thread(migrate, server, "dokku", "apply", *SMALL)
    assert applied.returncode == 0, applied.stderr
    assert ENVIRONMENT["JWT_SECRETS"] not in applied.stdout
    app = host.state.apps["payment-service"]
    assert app.config["JWT_SECRETS"] == ENVIRONMENT["JWT_SECRETS"]
    assert app.config["SHARED_DATABASE_URL"].startswith("postgresql://payments:")
    assert not app.proxy_enabled
    assert not host.refused, "no command that the host refuses is ever sent"
    again = await asyncio.to_thread(migrate, server, "dokku", "plan", *SMALL)
    assert (again.returncode, again.stdout.strip()) == (0, "no difference")


async def test_doctor_names_what_is_missing_and_what_to_type(
    server: DokkuServer, host: FakeHost
) -> None:
    del host.state.plugins["rabbitmq"]
    host.state.plugins["postgres"] = "1.40.0"
    found = await asyncio.to_thread(migrate, server, "dokku", "doctor")
    assert found.returncode == 1
    assert "bad  plugin rabbitmq is not installed" in found.stdout
    assert "warn plugin postgres is 1.40.0, pinned is 1.48.0" in found.stdout
    assert "dokku/host-setup.sh" in found.stdout


async def test_the_script_does_what_apply_does(
    server: DokkuServer, host: FakeHost, manifest: Manifest
) -> None:
    """Run by bash over ssh, twice; afterwards the plan finds nothing to do."""
    written = await asyncio.to_thread(migrate, server, "dokku", "script", *SMALL)
    environment = operator_environment(server) | {
        "DOKKU_HOST": f"{server.user}@127.0.0.1",
        "DOKKU_SSH_OPTIONS": f"-p {server.port} {' '.join(server.options)} -o ControlMaster=auto"
        f" -o ControlPath={server.folder}/script -o ControlPersist=2",
    }
    for _ in range(2):
        done = await asyncio.to_thread(
            subprocess.run,
            ["bash", "-s"], input=written.stdout, env=environment, capture_output=True, text=True,
            timeout=110,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    applier = await applier_for(host, manifest)
    assert (await applier.plan(SMALL)).is_empty


@pytest.mark.parametrize("app", sorted(file.stem for file in GOLDEN.glob("*.sh")))
async def test_the_commands_of_an_app_are_the_golden_ones(manifest: Manifest, app: str) -> None:
    from migrate.dokku.script import write_script

    text = write_script(await desired_for(manifest), (app,))
    lines = text[text.index("\n# ---- ") + 1 :]
    golden = GOLDEN / f"{app}.sh"
    assert lines == golden.read_text(), f"if this is meant, write the new text to {golden}"


def test_every_app_has_a_golden_text(manifest: Manifest) -> None:
    assert {file.stem for file in GOLDEN.glob("*.sh")} == set(chosen(manifest))


async def test_apps_that_share_a_folder_make_it_once(host: FakeHost, manifest: Manifest) -> None:
    apps = ("api-monolith", "media-service", "chat-service")
    outcome = await (await applier_for(host, manifest)).apply(apps)
    assert outcome.remaining.is_empty
    made = [line for line in host.changes() if line.startswith("storage:create")]
    assert made == ["storage:create media-files --chown heroku"]
    for app in apps:
        assert host.state.apps[app].mounts == [("media-files", "/media")]
    assert not host.refused


async def test_an_apply_that_is_cut_anywhere_continues(host: FakeHost, manifest: Manifest) -> None:
    """The connection is gone after every 7th changing command; running it again goes on."""
    applier = await applier_for(host, manifest)
    cuts = 0
    for _ in range(40):
        host.cut_after = 7
        try:
            outcome = await applier.apply(("chat-service",))
        except HostUnreachableError:
            cuts += 1
            continue
        break
    host.cut_after = None
    assert cuts >= 4
    assert outcome.remaining.changes == ()
    app = host.state.apps["chat-service"]
    assert "CHAT_DB_ADMIN_URL" not in app.config
    links = [option for option in app.docker_options["deploy"] if "chat-db" in option]
    assert len(links) == 1
    assert not host.refused
    for line in host.log:
        check(line)


async def test_a_failed_restart_is_an_error_although_dokku_says_nothing(
    host: FakeHost, manifest: Manifest
) -> None:
    applier = await applier_for(host, manifest)
    await applier.apply(SMALL)
    deploy_directly(host, "payment-service")
    await applier.apply(SMALL)
    host.state.apps["payment-service"].config["LOG_LEVEL"] = "debug"
    host.failing_deploys.add("payment-service")
    with pytest.raises(CommandFailedError, match=r"ps:restart.*failed its checks"):
        await applier.apply(SMALL)
    host.state.apps[
        "payment-service"
    ].proxy_enabled = True  # its command ends with 0, whatever happens
    host.state.apps["payment-service"].running = False
    plan = await applier.plan(SMALL)
    assert plan.restarted() == {"payment-service"}


async def test_containers_that_do_not_all_run_are_noticed(
    host: FakeHost, manifest: Manifest
) -> None:
    applier = await applier_for(host, manifest)
    await applier.apply(SMALL)
    deploy_directly(host, "payment-service")
    await applier.apply(SMALL)
    app = host.state.apps["payment-service"]
    app.config["LOG_LEVEL"] = "debug"
    original = host.execute

    def half(words: list[str], stdin: bytes = b"") -> object:
        result = original(words, stdin)
        if words[0] == "ps:restart":
            app.running = False
        return result

    host.execute = half  # type: ignore[assignment,method-assign]
    with pytest.raises(NotRunningError, match="mixed"):
        await applier.apply(SMALL)


async def test_nothing_is_changed_while_a_secret_is_missing(
    host: FakeHost, manifest: Manifest
) -> None:
    applier = await applier_for(host, manifest)
    applier.desired = desired_host(
        manifest, {}, {("payment-service", "JWT_SECRETS"): "export JWT_SECRETS=…"}
    )
    with pytest.raises(BlockedError, match="JWT_SECRETS has no value: export JWT_SECRETS"):
        await applier.apply(SMALL)
    assert host.log == []


async def test_a_locked_app_is_left_alone(host: FakeHost, manifest: Manifest) -> None:
    applier = await applier_for(host, manifest)
    await applier.apply(SMALL)
    host.state.apps["payment-service"].locked = True
    host.state.apps["payment-service"].scale["web"] = 9
    with pytest.raises(BlockedError, match="locked by a deploy"):
        await applier.apply(SMALL)


async def test_a_difference_that_stays_is_named(host: FakeHost, manifest: Manifest) -> None:
    applier = await applier_for(host, manifest)
    await applier.apply(SMALL)
    original = host.execute

    def deaf(words: list[str], stdin: bytes = b"") -> object:
        if words[0] == "git:set":
            return type(original(["version"]))(0, b"", b"")
        return original(words, stdin)

    host.state.properties["git", "payment-service", "deploy-branch"] = "other"
    host.execute = deaf  # type: ignore[assignment,method-assign]
    with pytest.raises(DidNotStickError, match=r"git\.deploy-branch"):
        await applier.apply(SMALL)


async def test_the_host_s_own_message_is_in_the_error(host: FakeHost, manifest: Manifest) -> None:
    host.failures["apps:create payment-service"] = 1
    applier = await applier_for(host, manifest)
    with pytest.raises(CommandFailedError) as caught:
        await applier.apply(SMALL)
    assert caught.value.complaint == "the disk is full"
    outcome = await applier.apply(SMALL)
    assert outcome.remaining.changes == ()


async def test_a_store_without_logical_replication_gets_a_short_announced_restart(
    host: FakeHost, manifest: Manifest
) -> None:
    """A host with a past: the store was made by hand, without the options and on no network."""
    for line in (
        ["postgres:create", "scenextras-db", "--image-version", "17.6"],
        ["apps:create", "api-monolith"],
        ["postgres:link", "scenextras-db", "api-monolith"],
    ):
        assert host.execute(line).exit == 0
    applier = await applier_for(host, manifest)
    asked: list[Plan] = []

    async def no(plan: Plan) -> bool:
        asked.append(plan)
        return False

    applier.confirm = no
    with pytest.raises(DeclinedError):
        await applier.apply(("api-monolith",))
    assert host.state.stores["postgres", "scenextras-db"].starts == 1
    (plan,) = asked
    (change,) = [c for c in plan.changes if c.effect is Effect.INTERRUPT]
    assert {d.key for d in change.differences} == {
        "settings.wal_level",
        "settings.max_replication_slots",
        "settings.max_wal_senders",
        "settings.wal_retrieve_retry_interval",
        "post-create-network",
    }
    assert [str(one).split(" <")[0] for one in change.commands] == [
        "dokku postgres:connect scenextras-db",
        "dokku postgres:set scenextras-db post-create-network internal",
        "dokku postgres:stop scenextras-db",
        "dokku postgres:start scenextras-db",
    ]

    async def yes(_plan: Plan) -> bool:
        return True

    applier.confirm = yes
    outcome = await applier.apply(("api-monolith",))
    assert outcome.remaining.changes == ()
    store = host.state.stores["postgres", "scenextras-db"]
    assert (store.settings["wal_level"], store.attached, store.starts) == (
        "logical", ("internal",), 2,
    )  # fmt: skip
    # the superuser address that the old link left is replaced by the role's
    assert "postgresql://monolith:" in host.state.apps["api-monolith"].config["DATABASE_URL"]


async def test_options_given_at_creation_cannot_be_changed_and_say_so(
    host: FakeHost, manifest: Manifest
) -> None:
    words = ["postgres:create", "scenextras-db", "--image-version", "17.6"]
    host.execute([*words, "--config-options", "-c wal_level=replica"])
    plan = await (await applier_for(host, manifest)).plan(("api-monolith",))
    (note,) = plan.blocked
    assert "wal_level is replica because it was given at creation" in note.text


async def test_two_majors_of_a_database_are_never_mixed(host: FakeHost, manifest: Manifest) -> None:
    host.execute(["postgres:create", "scenextras-db", "--image-version", "15.4"])
    plan = await (await applier_for(host, manifest)).plan(("api-monolith",))
    assert any("data files of two majors" in note.text for note in plan.blocked)


async def test_what_dokku_cannot_report_is_kept_as_a_hash(
    host: FakeHost, manifest: Manifest
) -> None:
    applier = await applier_for(host, manifest)
    await applier.apply(SMALL)
    assert manifest.dokku is not None
    stores = dict(manifest.dokku.stores)
    stores["scenextras-cache"] = stores["scenextras-cache"].model_copy(update={"memory_mb": 256})
    changed = manifest.model_copy(
        update={"dokku": manifest.dokku.model_copy(update={"stores": stores})}
    )
    plan = await (await applier_for(host, changed)).plan(SMALL)
    (note,) = plan.blocked
    assert note.subject == "store scenextras-cache"
    assert "changed after it was made" in note.text


async def test_a_global_domain_never_shows_an_internal_app(
    host: FakeHost, manifest: Manifest
) -> None:
    host.state.global_domains = ["example.com"]
    applier = await applier_for(host, manifest)
    await applier.apply(("payment-service", "router"))
    assert not host.state.apps["payment-service"].proxy_enabled
    assert host.state.apps["router"].domains == ["api.scenextras.com"]


async def test_the_domain_stays_with_the_old_app_until_it_is_moved(
    host: FakeHost, manifest: Manifest
) -> None:
    """Adopting a host: the monolith answers the public name, and goes on answering it."""
    for line in (
        ["apps:create", "api-monolith"],
        ["domains:set", "api-monolith", "api.scenextras.com"],
    ):
        host.execute(line)
    deploy_directly_old(host)
    applier = await applier_for(host, manifest)
    outcome = await applier.apply(("api-monolith", "router"))
    waiting = [note.text for note in outcome.remaining.notes if note.kind is NoteKind.WAITS]
    assert any("api.scenextras.com belongs to api-monolith" in text for text in waiting)
    assert any("its proxy stays" in text for text in waiting)
    assert host.state.apps["api-monolith"].proxy_enabled
    assert host.state.apps["api-monolith"].domains == ["api.scenextras.com"]
    assert "api.scenextras.com" not in host.state.apps["router"].domains


def deploy_directly_old(host: FakeHost) -> None:
    """The monolith as it was before this toolkit: buildpack, other paths."""
    host.execute(["builder:set", "api-monolith", "selected", "dockerfile"])
    host.execute(["builder-dockerfile:set", "api-monolith", "dockerfile-path", "dokku/Dockerfile"])
    host.execute(["git:set", "api-monolith", "deploy-branch", "main"])
    deploy_directly(host, "api-monolith")
    assert host.state.apps["api-monolith"].running


async def test_a_host_that_is_not_there_is_named() -> None:
    async with SshTransport("127.0.0.1", port=9, options=("-F", "/dev/null")) as transport:
        with pytest.raises(HostUnreachableError, match=r"dokku@127\.0\.0\.1"):
            await transport.run(command("apps:list"))


async def test_a_command_that_hangs_is_given_up(tmp_path: Path) -> None:
    slow = tmp_path / "dokku"
    slow.write_text("#!/bin/sh\nsleep 60 & wait\n")
    slow.chmod(0o755)
    with pytest.raises(CommandTimeoutError, match="may still run on the host"):
        await LocalTransport((str(slow),)).run(command("apps:list", timeout_seconds=0.2))


async def test_on_the_host_itself_the_program_is_run_without_ssh(
    server: DokkuServer, host: FakeHost, tmp_path: Path
) -> None:
    """Words and input arrive as they are: no shell and no second split in between."""
    program = tmp_path / "dokku"
    program.write_text(
        f"#!{sys.executable} -SI\n"
        "import os, shlex, sys\n"
        "os.environ['SSH_ORIGINAL_COMMAND'] = shlex.join(sys.argv[1:])\n"
        f"os.execv({sys.executable!r}, [{sys.executable!r}, '-SI', {str(CLIENT)!r},"
        f" '{server.folder}/host.sock'])\n"
    )
    program.chmod(0o755)
    transport = LocalTransport((str(program),))
    assert (await transport.run(command("apps:exists", "api"))).exit == 20
    assert (await transport.run(command("apps:create", "api"))).exit == 0
    value = b'{"TEXT": "two words, \'quotes\' and $HOME\\nand a line"}'
    words = ("--quiet", "config:import", "--no-restart", "--format", "json", "api", "-")
    assert (await transport.run(command(*words, stdin=value))).exit == 0
    assert host.state.apps["api"].config == {"TEXT": "two words, 'quotes' and $HOME\nand a line"}


async def test_a_missing_program_is_named() -> None:
    with pytest.raises(HostUnreachableError, match="no-dokku-here not found"):
        await LocalTransport(("no-dokku-here",)).run(command("apps:list"))


async def test_notes_say_what_is_left_alone(host: FakeHost, manifest: Manifest) -> None:
    applier: Applier = await applier_for(host, manifest)
    await applier.apply(SMALL)
    host.state.apps["payment-service"].config["BY_HAND"] = "1"
    plan = await applier.plan(SMALL)
    assert plan.is_empty
    (note,) = plan.notes
    assert (note.kind, note.text) == (NoteKind.UNMANAGED, "variables left alone: BY_HAND")
