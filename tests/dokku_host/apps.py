"""Core plugins of the fake host: apps, config, processes, network, properties and their reports."""

from __future__ import annotations

import base64
import json
import re

from tests.dokku_host.deploys import has_task, redeploy, running_word
from tests.dokku_host.host import FakeHost, document, handles
from tests.dokku_host.state import App
from tests.dokku_host.words import Call, RefusedError, commands

#: Dokku's own values where neither app nor host sets one.
DEFAULTS = {
    ("ps", "restart-policy"): "on-failure:10",
    ("ps", "stop-timeout-seconds"): "30",
    ("ps", "procfile-path"): "Procfile",
    ("app-json", "appjson-path"): "app.json",
    ("builder-dockerfile", "dockerfile-path"): "Dockerfile",
    ("checks", "wait-to-retire"): "60",
    ("scheduler", "selected"): "docker-local",
    ("scheduler-k3s", "namespace"): "default",
    ("registry", "push-on-release"): "false",
    ("git", "deploy-branch"): "master",
    ("nginx", "client-max-body-size"): "1m",
    ("nginx", "proxy-read-timeout"): "60s",
    ("nginx", "proxy-buffering"): "on",
    ("nginx", "hsts-include-subdomains"): "true",
    ("letsencrypt", "server"): "default",
}
SET_PLUGINS = (
    "app-json", "builder", "builder-dockerfile", "checks", "git", "network", "nginx", "ps",
    "scheduler", "scheduler-k3s", "registry", "letsencrypt", "apps", "proxy",
)  # fmt: skip
#: Plugins whose `:set` checks the name of the app; nginx does not.
NO_APP_CHECK = {"nginx"}


@handles("version")
def version(_host: FakeHost, _call: Call) -> str:
    return "dokku version 0.38.27\n"


@handles("plugin:list")
def plugin_list(host: FakeHost, _call: Call) -> str:
    return document([
        {"name": name, "version": version, "enabled": True, "core": False}
        for name, version in host.state.plugins.items()
    ])  # fmt: skip


@handles("apps:create")
def create(host: FakeHost, call: Call) -> str:
    name = call.args[0]
    if name in host.state.apps:
        raise RefusedError("Name is already taken")
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", name):
        raise RefusedError("App name must begin with lowercase alphanumeric character")
    host.state.apps[name] = App(
        name, domains=[f"{name}.{domain}" for domain in host.state.global_domains]
    )
    return f"-----> Creating {name}...\n"


@handles("apps:exists")
def exists(host: FakeHost, call: Call) -> None:
    host.app(call.args[0])


@handles("apps:list")
def app_list(host: FakeHost, call: Call) -> str:
    names = sorted(host.state.apps)
    if call.flag("--format") == "json":
        return document(names)
    return "=====> My Apps\n" + "".join(f"{name}\n" for name in names)


@handles("apps:destroy")
def destroy(host: FakeHost, call: Call) -> None:
    if not call.force:
        raise RefusedError("the name of the app is asked on stdin; the answer did not match")
    app = host.app(call.args[0])
    for store in host.state.stores.values():
        store.links = [name for name in store.links if name != app.name]
    del host.state.apps[app.name]


@handles("apps:unlock")
def unlock(host: FakeHost, call: Call) -> None:
    app = host.app(call.args[0])
    if not app.locked:
        raise RefusedError("Unable to remove deploy lock")
    app.locked = False


@handles(*(f"{plugin}:set" for plugin in SET_PLUGINS))
def set_property(host: FakeHost, call: Call) -> None:
    """All `X:set`: the name of the property is checked, the value mostly not."""
    facts = commands()[call.name]
    args = list(call.args)
    if "--global" in call.flags:
        args.insert(0, "--global")
    app, key, value = args[0], args[1], " ".join(args[2:])
    if app != "--global" and call.plugin not in NO_APP_CHECK:
        host.app(app)
    known = (
        facts["properties"]
        if app != "--global"
        else facts.get("global_properties") or facts["properties"]
    )
    if not any(key == k or (k.endswith("*") and key.startswith(k[:-1])) for k in known):
        raise RefusedError(f"Invalid property specified: {key}")
    if call.plugin == "network" and key.startswith("attach-post"):
        _check_network(host, app, key, args[2:])
        value = ",".join(args[2:])
    policy = r"(no|always|unless-stopped|on-failure(:\d+)?)?"
    if (call.plugin, key) == ("ps", "restart-policy") and not re.fullmatch(policy, value):
        raise RefusedError("Invalid restart-policy specified")
    place = (call.plugin, app, key)
    if value:
        host.state.properties[place] = value
    else:
        host.state.properties.pop(place, None)


def _check_network(host: FakeHost, app: str, key: str, names: list[str]) -> None:
    other = {"attach-post-create": "attach-post-deploy", "attach-post-deploy": "attach-post-create"}
    taken = host.state.properties.get(("network", app, other[key]), "")
    for name in names:
        if name in ("host", "bridge"):
            raise RefusedError(f"Invalid network name specified: {name}")
        if name in taken.split(","):
            raise RefusedError(f"Network {name} already set in {other[key]}")


def generic_report(host: FakeHost, plugin: str, app: str, prefix: str = "") -> dict[str, str]:
    """Every key of a report from the properties, in its three forms."""
    prefix = prefix or plugin
    found: dict[str, str] = {}
    for flag in commands()[f"{plugin}:report"].get("info_flags", []):
        key = flag.removeprefix("--").removeprefix(f"{prefix}-")
        default = DEFAULTS.get((plugin, key.removeprefix("computed-").removeprefix("global-")), "")
        if key.startswith("computed-"):
            found[key] = host.property(plugin, app, key.removeprefix("computed-"), default)
        elif key.startswith("global-"):
            bare = key.removeprefix("global-")
            found[key] = host.state.properties.get((plugin, "--global", bare), default)
        else:
            found[key] = host.state.properties.get((plugin, app, key), "")
    return found


@handles(
    "app-json:report", "apps:report", "builder:report", "builder-dockerfile:report",
    "checks:report", "git:report", "network:report", "nginx:report", "ps:report", "scheduler:report",
    "scheduler-k3s:report", "registry:report", "letsencrypt:report", "maintenance:report",
    "certs:report", "proxy:report", "ports:report", "domains:report", "docker-options:report",
    "resource:report",
)  # fmt: skip
def report(host: FakeHost, call: Call) -> str:
    """All reports; only `--format json` as two words is taught."""
    if call.flag("--format") != "json":
        raise RefusedError("this host reports JSON only")
    plugin = call.plugin
    if "--global" in call.flags:
        return document(_global_report(host, plugin))
    app = host.app(call.args[0])
    prefix = {"apps": "app", "certs": "ssl"}.get(plugin, plugin)
    found: dict[str, object] = dict(generic_report(host, plugin, app.name, prefix))
    found |= _own_values(host, plugin, app)
    # during 0.38 older plugins also emit the prefixed key
    if plugin == "ports":
        found |= {f"--ports-{key}": value for key, value in list(found.items())}
    return document(found)


def _global_report(host: FakeHost, plugin: str) -> dict[str, str]:
    if plugin == "apps":
        value = host.state.properties.get(("apps", "--global", "disable-autocreation"), "false")
        return {"global-disable-autocreation": value}
    report = generic_report(host, plugin, "--global")
    return {key: value for key, value in report.items() if key.startswith("global-")}


def _own_values(host: FakeHost, plugin: str, app: App) -> dict[str, object]:
    if plugin == "apps":
        return {
            "locked": _word(app.locked),
            "deploy-source": "git-push" if app.source else "",
            "deploy-source-metadata": app.source,
            "created-at": "1735689600",
        }
    if plugin == "ps":
        count = sum(app.scale.values()) if app.containers else 0
        return {
            "deployed": _word(app.containers is not None),
            "running": running_word(app),
            "processes": str(count),
            "can-scale": _word("formation" not in app.app_json),
        }
    if plugin == "domains":
        return {
            "app-enabled": _word(app.domains_enabled),
            "app-vhosts": " ".join(app.domains),
            "global-enabled": _word(bool(host.state.global_domains)),
            "global-vhosts": " ".join(host.state.global_domains),
        }
    if plugin == "ports":
        rows = [dict(zip(("scheme", "host_port", "container_port"), port.split(":"), strict=True))
                for port in app.ports]  # fmt: skip
        numbers = [
            {"scheme": r["scheme"], "host_port": int(r["host_port"]),
             "container_port": int(r["container_port"])} for r in rows
        ]  # fmt: skip
        return {"map-json": json.dumps(numbers), "map-detected-json": "[]"}
    if plugin == "proxy":
        return {
            "enabled": _word(app.proxy_enabled),
            "computed-type": host.property("proxy", app.name, "type", "nginx"),
        }
    if plugin == "checks":
        return {"disabled-list": ",".join(app.checks_disabled) or "none", "skipped-list": "none"}
    if plugin == "certs":
        names = " ".join(app.domains) if app.certificate else ""
        return {"enabled": _word(app.certificate is not None), "hostnames": names}
    if plugin == "letsencrypt":
        return {"active": _word(app.letsencrypt), "autorenew": _word(host.state.autorenew)}
    if plugin == "maintenance":
        return {"enabled": _word(app.maintenance)}
    if plugin == "docker-options":
        return {
            **{phase: " ".join(options) for phase, options in app.docker_options.items()},
            **{f"{phase}-list": list(options) for phase, options in app.docker_options.items()},
        }
    if plugin == "resource":
        return dict(app.limits)
    return {}


def _word(value: bool) -> str:
    return "true" if value else "false"


@handles("config:export")
def config_export(host: FakeHost, call: Call) -> str:
    assert call.flag("--format") == "json"
    return document(host.app(call.args[0]).config)


@handles("config:get")
def config_get(host: FakeHost, call: Call) -> str:
    value = host.app(call.args[0]).config.get(call.args[1])
    if value is None:
        raise RefusedError("")
    return value + "\n"


@handles("config:import")
def config_import(host: FakeHost, call: Call) -> str:
    app = host.app(call.args[0])
    assert call.flag("--format") == "json"
    values = json.loads(call.stdin)
    for key in values:
        if not re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", key):
            raise RefusedError(f"Invalid key name: {key}")
    if "--replace" in call.flags:
        app.config.clear()
    app.config |= {key: str(value) for key, value in values.items()}
    return _after_config(host, app, call, values)


@handles("config:set")
def config_set(host: FakeHost, call: Call) -> str:
    app = host.app(call.args[0])
    pairs = dict(word.partition("=")[::2] for word in call.args[1:])
    if "--encoded" in call.flags:
        pairs = {key: base64.b64decode(value).decode() for key, value in pairs.items()}
    app.config |= pairs
    return _after_config(host, app, call, pairs)


@handles("config:unset")
def config_unset(host: FakeHost, call: Call) -> str:
    app = host.app(call.args[0])
    for key in call.args[1:]:
        app.config.pop(key, None)
    return _after_config(host, app, call, {})


def _after_config(host: FakeHost, app: App, call: Call, values: dict[str, str]) -> str:
    """Redeploys also when nothing changed; a failure is a warning only. Prints what it set."""
    if "--no-restart" not in call.flags:
        redeploy(host, app)
    if call.quiet:
        return ""
    return "-----> Setting config vars\n" + "".join(
        f"       {k}:  {v}\n" for k, v in values.items()
    )


@handles("ps:scale")
def scale(host: FakeHost, call: Call) -> str:
    app = host.app(call.args[0])
    if not call.args[1:]:
        return document([{"process_type": k, "quantity": v} for k, v in app.scale.items()])
    if "formation" in app.app_json:
        raise RefusedError(
            f"App {app.name} contains an app.json file with a formations key"
            " and cannot be manually scaled"
        )
    wanted = {name: int(count) for name, _, count in (w.partition("=") for w in call.args[1:])}
    app.scale |= wanted
    if app.containers is not None and "--skip-deploy" not in call.flags:
        if app.name in host.failing_deploys:
            raise RefusedError("Failed to deploy")
        app.containers.scale |= wanted
        app.deploys += 1
    return ""


@handles("ps:restart", "ps:start")
def ps_restart(host: FakeHost, call: Call) -> str:
    app = host.app(call.args[0])
    if app.containers is None:
        return f" !     App {app.name} has not been deployed\n"
    if not redeploy(host, app):
        raise RefusedError(f"Failed to restart {app.name}: web container failed its checks")
    return ""


@handles("ps:stop")
def ps_stop(host: FakeHost, call: Call) -> None:
    app = host.app(call.args[0])
    app.running, app.stopped = False, True


@handles("ps:rebuild")
def ps_rebuild(host: FakeHost, call: Call) -> None:
    app = host.app(call.args[0])
    if app.containers is None:
        raise RefusedError(f"App {app.name} has not been deployed")
    app.containers.revision = app.pushed or app.containers.revision
    if not redeploy(host, app):
        raise RefusedError("Failed to rebuild")
    app.source = app.containers.revision


@handles("checks:enable")
def checks_enable(host: FakeHost, call: Call) -> None:
    host.app(call.args[0]).checks_disabled = []


@handles("checks:disable")
def checks_disable(host: FakeHost, call: Call) -> None:
    host.app(call.args[0]).checks_disabled = call.args[1:] or ["_all_"]


@handles("checks:run")
def checks_run(host: FakeHost, call: Call) -> str:
    app = host.app(call.args[0])
    if not app.running or app.name in host.failing_deploys:
        raise RefusedError(f"checks of {app.name} failed")
    return "-----> All checks passed\n"


@handles("resource:limit")
def limit(host: FakeHost, call: Call) -> None:
    app = host.app(call.args[0])
    process = call.flag("--process-type", "_default_")
    for kind in ("cpu", "memory"):
        value = call.flag(f"--{kind}")
        key = f"{process}.limit.{kind}"
        if value == "clear":
            app.limits.pop(key, None)
        elif value:
            app.limits[key] = value


@handles("network:create")
def network_create(host: FakeHost, call: Call) -> None:
    if call.args[0] in host.state.networks:
        raise RefusedError(f"network with name {call.args[0]} already exists")
    host.state.networks.add(call.args[0])


@handles("network:exists")
def network_exists(host: FakeHost, call: Call) -> None:
    if call.args[0] not in host.state.networks:
        raise RefusedError("Network does not exist")


@handles("network:destroy")
def network_destroy(host: FakeHost, call: Call) -> None:
    if call.args[0] not in host.state.networks:
        raise RefusedError("Network does not exist")
    host.state.networks.remove(call.args[0])


@handles("docker-options:add")
def docker_option_add(host: FakeHost, call: Call) -> None:
    app = host.app(call.args[0])
    for phase in call.args[1].split(","):
        app.docker_options[phase].append(" ".join(call.args[2:]))


@handles("storage:create")
def storage_create(host: FakeHost, call: Call) -> None:
    name = call.args[0]
    if name in host.state.storage:
        raise RefusedError(f"storage entry {name} already exists")
    path = call.args[1] if len(call.args) > 1 else f"/var/lib/dokku/data/storage/{name}"
    host.state.storage[name] = {"name": name, "host_path": path, "chown": call.flag("--chown")}


@handles("storage:destroy")
def storage_destroy(host: FakeHost, call: Call) -> None:
    if "--force" not in call.flags and not call.force:
        raise RefusedError("the name of the entry is asked on stdin; the answer did not match")
    if any(call.args[0] == entry for app in host.state.apps.values() for entry, _ in app.mounts):
        raise RefusedError(f"storage entry {call.args[0]} is mounted")
    if host.state.storage.pop(call.args[0], None) is None:
        raise RefusedError(f"storage entry {call.args[0]} does not exist")


@handles("storage:mount")
def storage_mount(host: FakeHost, call: Call) -> None:
    app, name = host.app(call.args[0]), call.args[1]
    if name not in host.state.storage:
        raise RefusedError(f"storage entry {name} does not exist")
    mount = (name, call.flag("--container-dir"))
    if mount in app.mounts:
        raise RefusedError("Mount path already exists.")
    app.mounts.append(mount)


@handles("storage:list")
def storage_list(host: FakeHost, call: Call) -> str:
    return document([
        {"entry_name": entry, "host_path": host.state.storage[entry]["host_path"],
         "container_path": folder, "readonly": False, "volume_options": ""}
        for entry, folder in host.app(call.args[0]).mounts
    ])  # fmt: skip


@handles("storage:list-entries")
def storage_entries(host: FakeHost, _call: Call) -> str:
    return document([{"entry": row, "mounted_by": []} for row in host.state.storage.values()])


@handles("cron:list")
def cron_list(host: FakeHost, call: Call) -> str:
    app = host.app(call.args[0])
    return document([
        {"id": f"task{i}", "app": app.name, "command": task["command"], "schedule": task["schedule"],
         "task-in-maintenance": f"task{i}" in app.suspended}
        for i, task in enumerate(app.app_json.get("cron", []))
    ])  # fmt: skip


@handles("cron:suspend")
def cron_suspend(host: FakeHost, call: Call) -> None:
    host.app(call.args[0]).suspended.append(call.args[1])


@handles("cron:resume")
def cron_resume(host: FakeHost, call: Call) -> None:
    app = host.app(call.args[0])
    if not has_task(app, call.args[1]):
        raise RefusedError("unknown cron task")
    app.suspended.remove(call.args[1])


@handles("builds:list")
def builds_list(host: FakeHost, call: Call) -> str:
    app = host.app(call.args[0])
    return document([
        {"id": b.id, "app": app.name, "kind": "deploy", "status": b.status, "source": b.source}
        for b in app.builds
    ])  # fmt: skip


@handles("logs", "logs:failed")
def logs(host: FakeHost, call: Call) -> str:
    app = host.app(call.args[0])
    return f"app[web.1]: the log of {app.name}\n"


@handles("registry:login")
def registry_login(host: FakeHost, call: Call) -> None:
    host.state.registries[call.args[0]] = call.stdin.decode()
