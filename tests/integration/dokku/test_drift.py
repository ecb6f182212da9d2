"""Every property that somebody changes by hand is found, and mended with the fewest commands."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from migrate.dokku.apply import Applier
from migrate.dokku.change import Effect, Plan
from shared.manifest import Manifest
from tests.dokku_host.host import FakeHost, make_host
from tests.dokku_host.operator_side import applier_for, deploy_directly
from tests.dokku_host.postgres import Databases
from tests.dokku_host.state import State

APPS = ("api-monolith", "router", "content-service")


@pytest.fixture(scope="module")
def live_host(databases: Databases, manifest: Manifest) -> Iterator[tuple[FakeHost, State]]:
    """The three apps of the first phase, applied and deployed, and a copy of that state."""
    host = make_host(databases)

    async def build() -> None:
        applier = await applier_for(host, manifest)
        await applier.apply(APPS)
        for app in APPS:
            deploy_directly(host, app)
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
async def live(host: FakeHost, manifest: Manifest) -> Applier:
    """An operator's applier for it."""
    return await applier_for(host, manifest)


@dataclass(frozen=True)
class Drift:
    """What somebody does on the host, and the lines that undo it."""

    name: str
    act: tuple[str, ...] | Callable[[FakeHost], None]
    lines: tuple[str, ...]
    effect: Effect = Effect.NONE


def app_config(app: str, key: str, value: str | None) -> Callable[[FakeHost], None]:
    def act(host: FakeHost) -> None:
        if value is None:
            del host.state.apps[app].config[key]
        else:
            host.state.apps[app].config[key] = value

    return act


def sql(store: str, statement: str) -> Callable[[FakeHost], None]:
    def act(host: FakeHost) -> None:
        code, _, err = host.databases.sql(
            host.state.stores["postgres", store].database, statement.encode()
        )
        assert code == 0, err

    return act


def unlink(host: FakeHost) -> None:
    host.state.stores["redis", "scenextras-cache"].links.remove("content-service")
    del host.state.apps["content-service"].config["REDIS_URL"]


def stop_store(host: FakeHost) -> None:
    host.state.stores["redis", "scenextras-cache"].status = "missing"


def lose_mount(host: FakeHost) -> None:
    host.state.apps["router"].mounts.clear()


def foreign_port(host: FakeHost) -> None:
    host.state.apps["content-service"].ports = ["http:80:5000"]


def expire(host: FakeHost) -> None:
    host.state.apps["router"].letsencrypt = False


def set_limit(key: str, value: str | None) -> Callable[[FakeHost], None]:
    def act(host: FakeHost) -> None:
        if value is None:
            del host.state.apps["content-service"].limits[key]
        else:
            host.state.apps["content-service"].limits[key] = value

    return act


S = "content-service"
IMPORT = f"--quiet config:import --no-restart --format json {S} -"
RESTART = f"ps:restart {S}"

DRIFTS = (
    Drift(
        "deploy branch",
        ("git:set", S, "deploy-branch", "develop"),
        (f"git:set {S} deploy-branch main",),
    ),
    Drift(
        "builder", ("builder:set", S, "selected", "pack"), (f"builder:set {S} selected dockerfile",)
    ),
    Drift(
        "build folder", ("builder:set", S, "build-dir", "services"), (f"builder:set {S} build-dir",)
    ),
    Drift(
        "Dockerfile",
        ("builder-dockerfile:set", S, "dockerfile-path", "x"),
        (f"builder-dockerfile:set {S} dockerfile-path dokku/Dockerfile",),
    ),
    Drift(
        "Procfile",
        ("ps:set", S, "procfile-path", "Procfile"),
        (f"ps:set {S} procfile-path dokku/{S}/Procfile",),
    ),
    Drift(
        "app.json",
        ("app-json:set", S, "appjson-path"),
        (f"app-json:set {S} appjson-path dokku/{S}/app.json",),
    ),
    Drift(
        "restart policy",
        ("ps:set", S, "restart-policy", "no"),
        (f"ps:set {S} restart-policy on-failure:10",),
    ),
    Drift(
        "stop timeout",
        ("ps:set", S, "stop-timeout-seconds", "5"),
        (f"ps:set {S} stop-timeout-seconds 30",),
    ),
    Drift(
        "retire wait",
        ("checks:set", "router", "wait-to-retire", "60"),
        ("checks:set router wait-to-retire 120",),
    ),
    Drift(
        "global retire wait",
        ("checks:set", "--global", "wait-to-retire", "5"),
        ("checks:set api-monolith wait-to-retire 60", f"checks:set {S} wait-to-retire 60"),
    ),
    Drift("checks off", ("checks:disable", S, "web"), (f"checks:enable {S}",)),
    Drift(
        "scheduler",
        ("scheduler:set", S, "selected", "null"),
        (f"scheduler:set {S} selected docker-local", RESTART),
        Effect.RESTART,
    ),
    Drift(
        "network",
        ("network:set", S, "attach-post-deploy"),
        (f"network:set {S} attach-post-deploy internal", RESTART),
        Effect.RESTART,
    ),
    Drift(
        "initial network",
        ("network:set", S, "initial-network", "other"),
        (f"network:set {S} initial-network", RESTART),
        Effect.RESTART,
    ),
    Drift(
        "suffix of names",
        ("network:set", S, "tld", "lan"),
        (f"network:set {S} tld", RESTART),
        Effect.RESTART,
    ),
    Drift(
        "scale up",
        ("ps:scale", "--skip-deploy", S, "web=5"),
        (f"ps:scale {S} web=2",),
        Effect.RESTART,
    ),
    Drift(
        "scale of a stranger",
        ("ps:scale", "--skip-deploy", S, "cron=1"),
        (f"ps:scale {S} cron=0",),
        Effect.RESTART,
    ),
    Drift(
        "memory",
        set_limit("web.limit.memory", "64m"),
        (f"resource:limit --process-type web --memory 512m {S}", RESTART),
        Effect.RESTART,
    ),
    Drift(
        "no memory limit",
        set_limit("worker.limit.memory", None),
        (f"resource:limit --process-type worker --memory 512m {S}", RESTART),
        Effect.RESTART,
    ),
    Drift(
        "an extra limit",
        set_limit("worker.limit.cpu", "1"),
        (f"resource:limit --process-type worker --cpu clear {S}", RESTART),
        Effect.RESTART,
    ),
    Drift("ports", foreign_port, (f"ports:set {S} http:80:8080", RESTART), Effect.RESTART),
    Drift("proxy on", ("proxy:enable", S), (f"proxy:disable {S}",), Effect.RESTART),
    Drift(
        "a plain variable", app_config(S, "LOG_LEVEL", "debug"), (IMPORT, RESTART), Effect.RESTART
    ),
    Drift(
        "a secret", app_config(S, "JWT_SECRETS", "stolen" * 8), (IMPORT, RESTART), Effect.RESTART
    ),
    Drift("a lost variable", app_config(S, "HOST", None), (IMPORT, RESTART), Effect.RESTART),
    Drift(
        "a lost store address", app_config(S, "REDIS_URL", None), (IMPORT, RESTART), Effect.RESTART
    ),
    Drift(
        "a superuser address",
        app_config(S, "CONTENT_DB_ADMIN_URL", "postgres://x"),
        (f"config:unset --no-restart {S} CONTENT_DB_ADMIN_URL", RESTART),
        Effect.RESTART,
    ),
    Drift(
        "unlinked",
        unlink,
        (f"redis:link scenextras-cache {S} --alias REDIS --no-restart", RESTART),
        Effect.RESTART,
    ),
    Drift(
        "domains",
        ("domains:add", "router", "other.example.com"),
        ("domains:set router api.scenextras.com",),
        Effect.RELOAD,
    ),
    Drift(
        "nginx",
        ("nginx:set", "router", "proxy-buffering", "on"),
        ("nginx:set router proxy-buffering off", "proxy:build-config router"),
        Effect.RELOAD,
    ),
    Drift(
        "an nginx property of a stranger",
        ("nginx:set", "router", "proxy-buffers", "8 8k"),
        ("nginx:set router proxy-buffers", "proxy:build-config router"),
        Effect.RELOAD,
    ),
    Drift(
        "maintenance",
        ("maintenance:enable", "router"),
        ("maintenance:disable router",),
        Effect.RELOAD,
    ),
    Drift("certificate", expire, ("letsencrypt:enable router",), Effect.RELOAD),
    Drift(
        "storage",
        lose_mount,
        ("storage:mount router router-state --container-dir /state", "ps:restart router"),
        Effect.RESTART,
    ),
    Drift(
        "autocreation",
        ("apps:set", "--global", "disable-autocreation"),
        ("apps:set --global disable-autocreation true",),
    ),
    Drift(
        "letsencrypt account",
        ("letsencrypt:set", "--global", "email", "x@y.z"),
        ("letsencrypt:set --global email ops@scenextras.com",),
    ),
    Drift(
        "store stopped",
        stop_store,
        (
            "redis:start scenextras-cache",
            "ps:restart api-monolith",
            f"ps:restart {S}",
            "ps:restart router",
        ),
        Effect.RESTART,
    ),
    Drift(
        "store network",
        ("postgres:set", "content-db", "post-create-network"),
        (
            "postgres:set content-db post-create-network internal",
            "postgres:stop content-db",
            "postgres:start content-db",
            RESTART,
        ),
        Effect.INTERRUPT,
    ),
    Drift(
        "role made superuser",
        sql("content-db", "ALTER ROLE content_owner SUPERUSER;"),
        ("postgres:connect content-db",),
    ),
    Drift(
        "password changed",
        sql("content-db", "ALTER ROLE content_owner PASSWORD 'other';"),
        ("postgres:connect content-db",),
    ),
    Drift(
        "right taken",
        sql("content-db", "REVOKE CREATE ON SCHEMA public FROM content_owner;"),
        ("postgres:connect content-db",),
    ),
)


@pytest.mark.parametrize("drift", DRIFTS, ids=lambda drift: drift.name)
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
    assert sent == [line for line in drift.lines if not line.startswith("postgres:connect")]
    assert outcome.remaining.changes == ()
    for name in APPS:
        app = host.state.apps[name]
        assert app.containers is not None
        assert app.running
        assert app.containers.scale == app.scale


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
