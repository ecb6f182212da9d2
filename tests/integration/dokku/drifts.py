"""What somebody may do to a host by hand, and the lines that mend it; a manifest that says all that can be said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from migrate.dokku.change import Effect
from shared.manifest import Manifest
from shared.manifest_dokku import DokkuSection
from tests.dokku_host.host import FakeHost

APPS = ("api-monolith", "router", "content-service")
#: A task of content-service, as its app.json and the manifest have it.
TASK = {"schedule": "15 4 * * *", "command": "python -m services.content.sync"}


def telling(manifest: Manifest) -> Manifest:
    """The shipped manifest with the keys that it leaves out, on the app and the store of one service."""
    assert manifest.dokku is not None
    raw = manifest.dokku.model_dump(by_alias=True, exclude_none=True)
    raw["stores"]["content-db"] |= {
        "expose": ["127.0.0.1:15432"],
        "backup": {"schedule": "0 3 * * *", "bucket": "backups", "use_iam": True},
        "settings": {"wal_level": "logical", "work_mem": "4MB"},
        "memory_mb": 512,
        "shm_size": "128m",
        "custom_env": {"TZ": "UTC"},
    }
    service = manifest.services["content"]
    app = service.dokku.model_dump(by_alias=True, exclude_none=True)
    app |= {
        "docker_options": [{"phase": "deploy", "option": "--shm-size 64m"}],
        "cron": [TASK],
        "storage": [{"name": "content-files", "container_dir": "/files", "mode": "0750"}],
    }
    first, *others = app["links"]
    app["links"] = [first | {"querystring": "application_name=content", "alias": "OWN_DB"}, *others]
    changed = service.model_copy(update={"dokku": type(service.dokku).model_validate(app)})
    return manifest.model_copy(
        update={
            "dokku": DokkuSection.model_validate(raw),
            "services": {**manifest.services, "content": changed},
        }
    )


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


def half_running(host: FakeHost) -> None:
    host.state.apps[S].running = False


def lose_option(host: FakeHost) -> None:
    host.state.apps[S].docker_options["deploy"].remove("--shm-size 64m")


def expose_elsewhere(host: FakeHost) -> None:
    host.state.stores["postgres", "content-db"].exposed = ["5432->0.0.0.0:15432"]


def no_backup(host: FakeHost) -> None:
    host.state.stores["postgres", "content-db"].backup = ""


def another_setting(host: FakeHost) -> None:
    """As on a store that was made without the option."""
    store = host.state.stores["postgres", "content-db"]
    store.config_options = "-c wal_level=logical"
    store.written["work_mem"] = store.settings["work_mem"] = "64kB"


def lose_query(host: FakeHost) -> None:
    config = host.state.apps[S].config
    config["DATABASE_URL"] = config["DATABASE_URL"].partition("?")[0]


def lose_network(host: FakeHost) -> None:
    host.state.networks.discard("internal")


def no_renewal(host: FakeHost) -> None:
    host.state.autorenew = False


def older_image(host: FakeHost) -> None:
    host.state.stores["postgres", "content-db"].version = "postgres:17.5"


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
        (f"ps:set {S} stop-timeout-seconds 60",),
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
        app_config(S, "OWN_DB_URL", "postgres://x"),
        (f"config:unset --no-restart {S} OWN_DB_URL", RESTART),
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

MORE = (
    Drift("stopped", ("ps:stop", S), (f"ps:start {S}",), Effect.RESTART),
    Drift("half of it runs", half_running, (f"ps:restart {S}",), Effect.RESTART),
    Drift(
        "a Docker option",
        lose_option,
        (f"docker-options:add {S} deploy '--shm-size 64m'", RESTART),
        Effect.RESTART,
    ),
    Drift("a suspended task", ("cron:suspend", S, "task0"), (f"cron:resume {S} task0",)),
    Drift(
        "an exposed port",
        ("postgres:unexpose", "content-db"),
        ("postgres:expose content-db 127.0.0.1:15432",),
    ),
    Drift(
        "another exposed port",
        expose_elsewhere,
        ("postgres:unexpose content-db", "postgres:expose content-db 127.0.0.1:15432"),
    ),
    Drift(
        "a backup",
        no_backup,
        ("postgres:backup-schedule content-db '0 3 * * *' backups --use-iam",),
    ),
    Drift(
        "a server setting",
        another_setting,
        ("postgres:connect content-db",),
    ),
    Drift(
        "a table of another owner",
        sql("content-db", "CREATE TABLE IF NOT EXISTS by_hand (id int);"),
        ("postgres:connect content-db",),
    ),
    Drift(
        "a query in an address",
        lose_query,
        (IMPORT, RESTART),
        Effect.RESTART,
    ),
    Drift(
        "an address of an app",
        app_config("router", "CHAT_URL", "http://chat-service.web:5000"),
        ("--quiet config:import --no-restart --format json router -", "ps:restart router"),
        Effect.RESTART,
    ),
    Drift(
        "a function",
        sql(
            "scenextras-db",
            "CREATE OR REPLACE FUNCTION emit_event() RETURNS int LANGUAGE sql AS 'SELECT 1';"
            " REVOKE EXECUTE ON FUNCTION emit_event() FROM PUBLIC, content;",
        ),
        ("postgres:connect scenextras-db",),
    ),
    Drift("a network", lose_network, ("network:create internal",)),
    Drift(
        "host names off",
        ("domains:disable", "router"),
        ("domains:enable router", "domains:set router api.scenextras.com"),
        Effect.RESTART,
    ),
    Drift(
        "the proxy off",
        ("proxy:disable", "router"),
        ("proxy:enable router", "domains:set router api.scenextras.com"),
        Effect.RESTART,
    ),
    Drift(
        "the renewal of certificates", no_renewal, ("letsencrypt:cron-job --add",), Effect.RELOAD
    ),
    Drift(
        "the authority",
        ("letsencrypt:set", "--global", "server", "staging"),
        ("letsencrypt:set --global server default",),
    ),
    Drift(
        "a newer image",
        older_image,
        ("postgres:upgrade content-db --image-version 17.6", RESTART),
        Effect.INTERRUPT,
    ),
)
