"""The service plugins of the fake host: postgres, redis, rabbitmq."""

from __future__ import annotations

import json
import re
import secrets

from tests.dokku_host.host import FakeHost, handles
from tests.dokku_host.postgres import server_settings
from tests.dokku_host.state import Store
from tests.dokku_host.words import Call, RefusedError

KINDS = ("postgres", "redis", "rabbitmq")
TITLES = {"postgres": "Postgres", "redis": "Redis", "rabbitmq": "RabbitMQ"}
PORTS = {"postgres": 5432, "redis": 6379, "rabbitmq": 5672}
COLOURS = ("AQUA", "BLACK", "BLUE")
#: Settings that a fresh server has; all of them act at its start only, but for work_mem.
DEFAULTS = {
    "wal_level": "replica",
    "max_replication_slots": "10",
    "max_wal_senders": "10",
    "max_connections": "100",
    "work_mem": "4MB",
    "wal_retrieve_retry_interval": "5s",
}
RELOADABLE = {"work_mem", "wal_retrieve_retry_interval"}


def all_kinds(verb: str, kinds: tuple[str, ...] = KINDS) -> tuple[str, ...]:
    return tuple(f"{kind}:{verb}" for kind in kinds)


def url(store: Store) -> str:
    """The superuser URL that the plugin gives."""
    database = re.sub(r"[.-]", "_", store.name)
    host = f"dokku-{store.kind}-{store.name}".replace("_", "-")
    return {
        "postgres": f"postgres://postgres:{store.password}@{host}:5432/{database}",
        "redis": f"redis://:{store.password}@{host}:6379",
        "rabbitmq": f"amqp://{store.name}:{store.password}@{host}:5672/{database}",
    }[store.kind]


@handles(*all_kinds("create"))
def create(host: FakeHost, call: Call) -> str:
    name, kind = call.args[0], call.plugin
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise RefusedError("Please specify a valid name for the service.")
    if (kind, name) in host.state.stores:
        raise RefusedError(f"{TITLES[kind]} service {name} already exists")
    defaults = {"postgres": "18.4", "redis": "8.8.0", "rabbitmq": "4.3.1-management"}
    store = Store(
        name, kind, f"{kind}:{call.flag('--image-version', defaults[kind])}", secrets.token_hex(16)
    )
    store.config_options = call.flag("--config-options")
    store.post_create_network = call.flag("--post-create-network")
    for network in filter(None, store.post_create_network.split(",")):
        if network not in host.state.networks:
            store.status = "missing"
            host.state.stores[kind, name] = store
            raise RefusedError(f"Error response from daemon: network {network} not found")
    store.attached = tuple(filter(None, store.post_create_network.split(",")))
    if kind == "postgres":
        store.settings = dict(DEFAULTS)
        words = re.findall(r"-c (\w+)=(\S+)", store.config_options)
        store.settings |= dict(words)
        store.database = host.databases.create(name)
    host.state.stores[kind, name] = store
    return f"=====> {TITLES[kind]} container created: {name}\n"


@handles(*all_kinds("exists"))
def exists(host: FakeHost, call: Call) -> None:
    host.store(call)


@handles(*all_kinds("info"))
def info(host: FakeHost, call: Call) -> str:
    store = host.store(call)
    values = {
        "--status": store.status,
        "--version": store.version,
        "--dsn": url(store),
        "--exposed-ports": " ".join(store.exposed) or "-",
        "--post-create-network": store.post_create_network or "-",
        "--config-options": store.config_options or "-",
        "--links": " ".join(store.links) or "-",
    }
    if not call.flags:
        lines = [f"=====> {store.name} {store.kind} service information"]
        for flag, value in values.items():
            key = flag.removeprefix("--").replace("-", " ").capitalize() + ":"
            lines.append(f"       {key:<20} {value:<25}")
        return "\n".join(lines) + "\n"
    (flag,) = call.flags
    return values[flag] + "\n"


@handles(*all_kinds("links"))
def links(host: FakeHost, call: Call) -> str:
    return "".join(f"{app}\n" for app in host.store(call).links)


@handles(*all_kinds("app-links"))
def app_links(host: FakeHost, call: Call) -> str:
    name = host.app(call.args[0]).name
    found = [
        s.name for s in host.state.stores.values() if s.kind == call.plugin and name in s.links
    ]
    return "".join(f"{store}\n" for store in found)


@handles(*all_kinds("linked"))
def linked(host: FakeHost, call: Call) -> str:
    """Dokku looks for the URL among the variables, not at the list of links."""
    store = host.store(call)
    app = host.app(call.args[1])
    if url(store) not in app.config.values():
        raise RefusedError(f"Service {store.name} is not linked to {app.name}")
    return ""


@handles(*all_kinds("link"))
def link(host: FakeHost, call: Call) -> str:
    store, app = host.store(call), host.app(call.args[1])
    lines = [f"{key}:  {value}" for key, value in app.config.items()]
    alias = call.flag("--alias").upper()
    if alias:
        if any(f"{alias}_URL" in line for line in lines):
            raise RefusedError(f"Specified alias {alias} already in use")
    else:
        alias = {"postgres": "DATABASE", "redis": "REDIS", "rabbitmq": "RABBITMQ"}[store.kind]
        if any(f"{alias}_URL" in line for line in lines):
            alias = f"DOKKU_{store.kind.upper()}_{COLOURS[0]}"
    if any(url(store) in line for line in lines):
        key = next(key for key, value in app.config.items() if url(store) in value)
        raise RefusedError(f"Already linked as {key}")
    if app.name not in store.links:
        store.links.append(app.name)
    option = f"--link dokku.{store.kind}.{store.name}:dokku-{store.kind}-{store.name}"
    for phase in ("build", "deploy", "run"):
        app.docker_options[phase].append(option)
    query = call.flag("--querystring")
    app.config[f"{alias}_URL"] = url(store) + (f"?{query}" if query else "")
    if "--no-restart" not in call.flags:
        from tests.dokku_host.deploys import redeploy

        redeploy(host, app)
    return "-----> Setting config vars\n"


@handles(*all_kinds("start"))
def start(host: FakeHost, call: Call) -> str:
    store = host.store(call)
    if store.status != "running":
        wanted = tuple(filter(None, store.post_create_network.split(",")))
        if store.status == "missing":  # a new container: networks and options act
            if not set(wanted) <= host.state.networks:
                raise RefusedError("network not found")
            store.attached = wanted
        _start(host, store)
    return ""


def _start(host: FakeHost, store: Store) -> None:
    store.status = "running"
    store.starts += 1
    if store.kind == "postgres":
        options = dict(re.findall(r"-c (\w+)=(\S+)", store.config_options))
        store.settings |= store.written | options
        if not store.database:
            store.settings = {**DEFAULTS, **store.settings}
            store.database = host.databases.create(store.name)


@handles(*all_kinds("stop"))
def stop(host: FakeHost, call: Call) -> None:
    host.store(call).status = "missing"


@handles(*all_kinds("restart"))
def restart(host: FakeHost, call: Call) -> None:
    _start(host, host.store(call))


@handles(*all_kinds("set"))
def set_property(host: FakeHost, call: Call) -> None:
    store = host.store(call)
    if call.args[1] == "post-create-network":
        store.post_create_network = ",".join(call.args[2:])


@handles(*all_kinds("upgrade"))
def upgrade(host: FakeHost, call: Call) -> None:
    store = host.store(call)
    store.version = f"{store.kind}:{call.flag('--image-version')}"
    store.attached = tuple(filter(None, store.post_create_network.split(",")))
    _start(host, store)


@handles(*all_kinds("expose"))
def expose(host: FakeHost, call: Call) -> None:
    store = host.store(call)
    if store.exposed:
        raise RefusedError(f"Service {store.name} already exposed")
    ports = [PORTS[store.kind], 15672, 25672, 4369]
    store.exposed = [f"{ports[i]}->{port}" for i, port in enumerate(call.args[1:])]


@handles(*all_kinds("unexpose"))
def unexpose(host: FakeHost, call: Call) -> None:
    host.store(call).exposed = []


@handles(*all_kinds("backup-schedule", ("postgres", "redis")))
def backup_schedule(host: FakeHost, call: Call) -> None:
    store = host.store(call)
    flag = "--use-iam" if "--use-iam" in call.flags else ""
    store.backup = f"{call.args[1]} dokku /usr/bin/dokku {store.kind}:backup {store.name} {call.args[2]} {flag}\n"


@handles(*all_kinds("backup-schedule-cat", ("postgres", "redis")))
def backup_schedule_cat(host: FakeHost, call: Call) -> str:
    store = host.store(call)
    if not store.backup:
        raise RefusedError(f"There is no scheduled backup for {store.name}.")
    return store.backup


@handles("postgres:connect")
def connect(host: FakeHost, call: Call) -> str:
    """psql as superuser; the server settings are the store's own, all else is a real database."""
    store = host.store(call)
    if store.status != "running":
        raise RefusedError("Service container is not running")
    lines = []
    for line in call.stdin.decode().splitlines():
        change = re.fullmatch(r"ALTER SYSTEM SET (\w+) = '(.*)';", line)
        if change:
            store.written[change[1]] = change[2]
        else:
            lines.append(line)
        if "pg_reload_conf" in line:
            given = dict(re.findall(r"-c (\w+)=(\S+)", store.config_options))
            store.settings |= {
                k: v for k, v in store.written.items() if k in RELOADABLE and k not in given
            }
    code, out, err = host.databases.sql(store.database, ("\n".join(lines) + "\n").encode())
    if code != 0:
        raise RefusedError(err.strip(), code)
    given = dict(re.findall(r"-c (\w+)=(\S+)", store.config_options))
    shown = {
        name: json.dumps([
            value,
            "command line" if name in given else "configuration file" if name in store.written else "default",
            name not in RELOADABLE,
            store.written.get(name, ""),
        ])
        for name, value in store.settings.items()
    }  # fmt: skip
    return server_settings(shown, out)


@handles(*all_kinds("destroy"))
def destroy(host: FakeHost, call: Call) -> None:
    store = host.store(call)
    if store.links:
        raise RefusedError("Cannot delete linked service")
    if not call.force and "--force" not in call.flags:
        raise RefusedError("the name of the service is asked on stdin")
    del host.state.stores[call.plugin, store.name]


@handles("postgres:export")
def export(host: FakeHost, call: Call) -> str:
    return host.databases.dump(host.store(call).database).decode("utf-8", "surrogateescape")
