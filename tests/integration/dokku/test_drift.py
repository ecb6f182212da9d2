"""Every property that somebody changes by hand is found, and mended with the fewest commands."""

from __future__ import annotations

import asyncio
import copy
import json
import shlex
from collections.abc import Iterator, Sequence

import pytest

from migrate.dokku.apply import Applier
from migrate.dokku.change import NoteKind, Plan
from migrate.dokku.observed import STARTED, STOPPED, run_key
from shared.manifest import Manifest
from tests.dokku_host.host import FakeHost, Result, make_host
from tests.dokku_host.operator_side import applier_for, deploy_directly
from tests.dokku_host.postgres import Databases
from tests.dokku_host.state import State
from tests.integration.dokku.drifts import (
    APPS,
    DRIFTS,
    MORE,
    TASK,
    Drift,
    S,
    app_config,
    sql,
    telling,
)


@pytest.fixture(scope="module")
def told(manifest: Manifest) -> Manifest:
    """A manifest that says everything that can be said."""
    return telling(manifest)


@pytest.fixture(scope="module")
def live_host(databases: Databases, told: Manifest) -> Iterator[tuple[FakeHost, State]]:
    """The three apps of the first phase, applied and deployed, and a copy of that state."""
    host = make_host(databases)

    async def build() -> None:
        applier = await applier_for(host, told)
        await applier.apply(APPS)
        for app in APPS:
            deploy_directly(host, app, app_json=json.dumps({"cron": [TASK]} if app == S else {}))
        outcome = await applier.apply(APPS)
        assert outcome.remaining.changes == ()

    asyncio.run(build())
    yield host, copy.deepcopy(host.state)
    databases.clean()


@pytest.fixture
def host(live_host: tuple[FakeHost, State]) -> FakeHost:
    """The live host, as it was built."""
    host, state = live_host
    host.state = copy.deepcopy(state)
    host.log.clear()
    return host


@pytest.fixture
async def live(host: FakeHost, told: Manifest) -> Applier:
    """An operator's applier for it."""
    return await applier_for(host, told)


@pytest.mark.parametrize("drift", [*DRIFTS, *MORE], ids=lambda drift: drift.name)
async def test_a_drift_is_found_and_mended_with_the_fewest_commands(
    live: Applier, host: FakeHost, drift: Drift
) -> None:
    if callable(drift.act):
        drift.act(host)
    else:
        assert host.execute(drift.act).exit == 0
    host.log.clear()
    plans: list[Plan] = []
    live.progress.on_plan = lambda plan, _round: plans.append(plan)
    outcome = await live.apply(APPS)
    (plan,) = plans
    assert plan.effect is drift.effect
    assert [str(command).split(" <")[0] for command in plan.commands] == [
        f"dokku {line}" for line in drift.lines
    ]
    sent = [line for line in host.changes() if not line.startswith("postgres:connect")]
    lines = [line for line in drift.lines if not line.startswith("postgres:connect")]
    assert sent == [" ".join(shlex.split(line)) for line in lines]
    assert outcome.remaining.changes == ()
    for name in APPS:
        app = host.state.apps[name]
        assert app.containers is not None
        assert app.running
        assert app.containers.scale == app.scale


async def test_what_the_manifest_does_not_know_is_named_and_left_alone(
    live: Applier, host: FakeHost
) -> None:
    app = host.state.apps[S]
    app.docker_options["deploy"].append("--cap-add NET_ADMIN")
    host.state.storage["by-hand"] = {"name": "by-hand", "host_path": "/x", "chown": ""}
    app.mounts.append(("by-hand", "/x"))
    app.app_json = {"cron": [{"schedule": "0 0 * * *", "command": "other"}]}
    host.state.stores["postgres", "scenextras-db"].links.append("router")
    host.state.stores["postgres", "content-db"].links.append("router")
    plan = await live.plan(APPS)
    assert plan.is_empty
    notes = {(note.kind, note.subject): note.text for note in plan.notes if note.subject != "host"}
    texts = " | ".join(note.text for note in plan.notes)
    assert "Docker option of deploy left alone: --cap-add NET_ADMIN" in texts
    assert "by-hand is mounted at /x" in texts
    assert "15 4 * * * python -m services.content.sync is missing" in texts
    assert "0 0 * * * other is too many" in texts
    assert "dokku postgres:unlink content-db router" in notes[NoteKind.UNMANAGED, "app router"]


async def test_an_app_that_a_phase_stopped_is_started_by_nothing(
    live: Applier, host: FakeHost
) -> None:
    """A changed secret must not bring a retired app back; only its phase's way back does."""
    await live.digests.keep({run_key(S): STOPPED})
    host.execute(["ps:stop", S])
    assert (await live.plan(APPS)).is_empty
    host.log.clear()
    app_config(S, "LOG_LEVEL", "debug")(host)
    host.state.apps[S].scale["web"] = 7
    host.state.stores["redis", "scenextras-cache"].status = "missing"
    outcome = await live.apply(APPS)
    sent = [line.split()[:2] for line in host.changes() if S in line.split()]
    assert sent == [["--quiet", "config:import"], ["ps:scale", "--skip-deploy"]]
    assert host.state.apps[S].stopped
    assert any("was stopped by a phase" in n.text for n in (await live.plan(APPS)).notes) is False
    assert outcome.remaining.is_empty
    host.execute(["ps:start", S])
    plan = await live.plan(APPS)
    assert [str(one) for one in plan.commands] == [f"dokku ps:stop {S}"]
    await live.digests.keep({run_key(S): STARTED})
    assert (await live.plan(APPS)).is_empty


async def test_every_property_of_the_manifest_is_watched(live: Applier, host: FakeHost) -> None:
    """No property of any app can be changed by hand without being seen, and each has its own line."""
    values = {
        "network": "elsewhere",
        "ps.restart-policy": "always",
        "ps.stop-timeout-seconds": "7",
        "checks": "7",
        "builder.selected": "pack",
        "scheduler": "null",
    }
    seen = 0
    for name in ("router", "content-service"):
        for (plugin, key), wanted in live.desired.apps[name].properties.items():
            other = values.get(f"{plugin}.{key}") or values.get(plugin) or "77"
            assert other != wanted
            place = (plugin, name, key)
            before = host.state.properties.get(place)
            host.state.properties[place] = other
            plan = await live.plan((name,))
            keys = [d.key for c in plan.changes for d in c.differences if d.key != "containers"]
            assert keys == [f"{plugin}.{key}"], (name, plugin, key)
            setting = [one for one in plan.commands if one.name == f"{plugin}:set"]
            assert len(setting) == 1
            if before is None:
                del host.state.properties[place]
            else:
                host.state.properties[place] = before
            seen += 1
    assert seen >= 34


async def test_only_what_a_command_touched_is_read_again(
    live: Applier, host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert host.execute(["checks:set", S, "wait-to-retire", "5"]).exit == 0
    read: list[list[str]] = []
    original = host.execute

    def noted(words: Sequence[str], stdin: bytes = b"") -> Result:
        read.append(list(words))
        return original(words, stdin)

    monkeypatch.setattr(host, "execute", noted)
    assert (await live.apply(APPS)).remaining.is_empty
    place = read.index(["checks:set", S, "wait-to-retire", "60"])
    first, second = read[:place], read[place + 1 :]
    assert ["ps:report", "router", "--format", "json"] in first
    assert ["ps:report", S, "--format", "json"] in second
    assert not [words for words in second if {"router", "api-monolith", "content-db"} & set(words)]
    assert len(second) < len(first) / 2


async def test_a_table_right_that_was_given_by_hand_is_taken_back(
    live: Applier, host: FakeHost
) -> None:
    """The role of one service may read the tables of another only where the manifest says so."""
    sql("scenextras-db", "CREATE TABLE messages (id int); CREATE TABLE titles (id int);")(host)
    await live.apply(APPS)
    sql("scenextras-db", "GRANT SELECT ON messages TO content;")(host)
    plan = await live.plan(APPS)
    (change,) = plan.changes
    assert [(d.key, d.after) for d in change.differences] == [
        ("roles: revoke", "SELECT ON TABLE public.messages FROM content")
    ]
    assert (await live.apply(APPS)).remaining.changes == ()


async def test_secrets_appear_in_no_plan_and_no_command(live: Applier, host: FakeHost) -> None:
    app_config("content-service", "JWT_SECRETS", "stolen-secret-value-of-forty-characters!")(host)
    plan = await live.plan(APPS)
    shown = repr(plan) + " ".join(str(command) for command in plan.commands)
    assert "stolen-secret" not in shown
    assert host.state.apps["router"].config["JWT_SECRETS"] not in shown
    await live.apply(APPS)
    words = " ".join(" ".join(line) for line in host.log)
    assert "stolen-secret" not in words
    assert host.state.apps["router"].config["JWT_SECRETS"] not in words
