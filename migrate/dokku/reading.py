"""Reads the state of a Dokku host through a transport; changes and decides nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from migrate.dokku import reports
from migrate.dokku.argv import DokkuCommand, command
from migrate.dokku.database import DatabaseState, parse_probe, probe_sql
from migrate.dokku.desired import DesiredHost
from migrate.dokku.observed import (
    MountedAt,
    ObservedApp,
    ObservedHost,
    ObservedStore,
    ObservedTask,
)
from migrate.dokku.transport import MISSING_APP, CommandFailedError, Transport, must

#: Reports that every app has.
_REPORTS = (
    "apps", "builder", "builder-dockerfile", "ps", "app-json", "git", "checks", "scheduler",
    "network", "proxy", "ports", "domains", "docker-options", "resource",
)  # fmt: skip
#: Reports that only an app with a virtual host needs; a cluster has its own certificates.
_PUBLIC_REPORTS = ("nginx", "certs")
_PLUGIN_REPORTS = ("letsencrypt", "maintenance")
_K3S_REPORTS = ("registry", "scheduler-k3s")


async def observe(
    transport: Transport,
    desired: DesiredHost,
    apps: Sequence[str],
    digests: Mapping[str, str] = MappingProxyType({}),
    before: ObservedHost | None = None,
    touched: frozenset[str] = frozenset(),
) -> ObservedHost:
    """Read everything that a plan for these apps looks at. `digests`: what the host cannot tell.

    With `before`, apps and stores that are in it and not `touched` since are not read again: a command
    takes Dokku about half a second, and there are some twenty per app.
    """
    kept_apps = {n: app for n, app in before.apps.items() if n not in touched} if before else {}
    kept_stores = {n: row for n, row in before.stores.items() if n not in touched} if before else {}
    names = await app_names(transport)
    wanted = [desired.apps[name] for name in apps]
    stores = sorted({link.store for app in wanted for link in app.links})
    networks = {desired.section.network}
    networks |= {n for s in stores for n in desired.section.stores[s].networks}
    public = any(app.public for app in wanted)
    k3s = desired.section.scheduler == "k3s"
    observed_apps, observed_stores, found_networks, globals_, domains, entries = await gather(
        gather(
            *(
                read_app(transport, app.name, public=app.public, k3s=k3s, storage=bool(app.storage))
                for app in wanted
                if app.name in names and app.name not in kept_apps
            )
        ),
        gather(*(_store(transport, desired, s) for s in stores if s not in kept_stores)),
        gather(*(_network(transport, name) for name in sorted(networks))),
        _globals(transport, not k3s and any(app.letsencrypt for app in wanted)),
        domain_owners(transport, names - set(kept_apps) if public else frozenset()),
        _entries(transport, any(app.storage for app in wanted)),
    )
    owners = before.domain_owners if before else {}
    return ObservedHost(
        app_names=names,
        apps=kept_apps | {app.name: app for app in observed_apps},
        stores=kept_stores | {row.name: row for row in observed_stores if row is not None},
        networks=frozenset(name for name in found_networks if name),
        storage_entries=entries,
        domain_owners={d: app for d, app in owners.items() if app in kept_apps} | domains,
        autocreation_disabled=globals_[0].get("global-disable-autocreation") == "true",
        letsencrypt=globals_[1],
        digests=digests,
    )


async def gather(*work: Coroutine[Any, Any, Any]) -> list[Any]:
    """Like asyncio.gather, but the first failure cancels the rest before it is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in work]
    except BaseExceptionGroup as failures:
        first: BaseException = failures
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise first from failures
    return [task.result() for task in tasks]


async def report(transport: Transport, plugin: str, app: str) -> dict[str, str]:
    """One report of an app."""
    return reports.report(
        plugin, await _text(transport, f"{plugin}:report", app, "--format", "json")
    )


async def _text(transport: Transport, *words: str) -> str:
    return (await must(transport, command(*words))).text


async def read_app(
    transport: Transport, name: str, *, public: bool, k3s: bool, storage: bool = True
) -> ObservedApp:
    """Everything about one app; the reports on virtual hosts only for a `public` one."""
    plugins = [*_REPORTS]
    if public:
        plugins += _PUBLIC_REPORTS
        plugins += () if k3s else _PLUGIN_REPORTS
    if k3s:
        plugins += _K3S_REPORTS
    found, config, scale, mounts, tasks = await gather(
        gather(*(report(transport, plugin, name) for plugin in plugins)),
        _text(transport, "config:export", "--format", "json", name),
        _text(transport, "ps:scale", "--format", "json", name),
        _mounts(transport, name, wanted=storage),
        _text(transport, "cron:list", name, "--format", "json"),
    )
    return ObservedApp(
        name=name,
        reports=dict(zip(plugins, found, strict=True)),
        config=reports.config(config),
        scale=reports.scale(scale),
        mounts=tuple(
            MountedAt(str(row.get("entry_name", "")), str(row.get("container_path", "")))
            for row in reports.json_list("storage:list", mounts)
        ),
        tasks=tuple(
            ObservedTask(
                str(row["id"]),
                str(row.get("schedule", "")),
                str(row.get("command", "")),
                str(row.get("task-in-maintenance", "false")).lower() == "true",
            )
            for row in reports.json_list("cron:list", tasks)
        ),
    )


async def _mounts(transport: Transport, name: str, *, wanted: bool) -> str:
    return await _text(transport, "storage:list", name, "--format", "json") if wanted else "[]"


async def _store(transport: Transport, desired: DesiredHost, name: str) -> ObservedStore | None:
    model = desired.section.stores[name]
    kind = model.kind
    if (await transport.run(command(f"{kind}:exists", name))).exit != 0:
        return None
    text, links, backup = await gather(
        _text(transport, f"{kind}:info", name),
        _text(transport, f"{kind}:links", name),
        _backup(transport, kind, name, wanted=model.backup is not None),
    )
    found = reports.information(text)
    for key in ("status", "version", "dsn"):
        if key not in found:
            raise reports.UnreadableReportError(f"{kind}:info", f"there is no {key}")
    database = None
    if kind == "postgres" and found["status"] == "running":
        database = await probe_store(transport, desired, name)
    return ObservedStore(
        name=name,
        kind=kind,
        status=found["status"],
        version=found["version"],
        dsn=found["dsn"],
        links=reports.words(links),
        post_create_network=reports.listed(found.get("post-create-network", "")),
        exposed=found.get("exposed-ports", ""),
        backup=backup,
        database=database,
    )


async def _backup(transport: Transport, kind: str, name: str, *, wanted: bool) -> str:
    if not wanted:
        return ""
    answer = await transport.run(command(f"{kind}:backup-schedule-cat", name))
    return answer.text.strip() if answer.exit == 0 else ""


async def probe_store(transport: Transport, desired: DesiredHost, name: str) -> DatabaseState:
    """Settings, roles and rights of a running PostgreSQL store."""
    roles: set[str] = set()
    schemas = {"public"}
    for app in desired.apps.values():
        for link in app.links:
            if link.store == name and link.role:
                roles.add(link.role)
                schemas |= {rights.schema_name for rights in app.rights.get(name, ())}
    sql = probe_sql(desired.section.stores[name].settings, roles, schemas)
    answer = await must(transport, command("postgres:connect", name, stdin=sql.encode()))
    return parse_probe(answer.text)


async def _network(transport: Transport, name: str) -> str:
    answer = await transport.run(command("network:exists", name))
    return name if answer.exit == 0 else ""


async def _globals(
    transport: Transport, letsencrypt: bool
) -> tuple[dict[str, str], dict[str, str]]:
    apps = reports.report(
        "apps", await _text(transport, "apps:report", "--global", "--format", "json")
    )
    if not letsencrypt:
        return apps, {}
    text = await _text(transport, "letsencrypt:report", "--global", "--format", "json")
    return apps, reports.report("letsencrypt", text)


async def domain_owners(transport: Transport, names: frozenset[str]) -> dict[str, str]:
    """The app that answers to each host name, of the named apps."""
    owners: dict[str, str] = {}
    found = await gather(*(report(transport, "domains", name) for name in sorted(names)))
    for name, row in zip(sorted(names), found, strict=True):
        if row.get("app-enabled") == "true":
            owners |= dict.fromkeys(row.get("app-vhosts", "").split(), name)
    return owners


async def _entries(transport: Transport, wanted: bool) -> frozenset[str]:
    if not wanted:
        return frozenset()
    text = await _text(transport, "storage:list-entries", "--format", "json")
    rows = reports.json_list("storage:list-entries", text)
    return frozenset(str(row.get("entry", {}).get("name", "")) for row in rows)


async def app_names(transport: Transport) -> frozenset[str]:
    """Every app of the host."""
    text = await _text(transport, "apps:list", "--format", "json")
    return frozenset(reports.names("apps:list", text))


async def exists(transport: Transport, app: str) -> bool:
    """Whether an app exists; any exit code but 0 and 20 is a failure."""
    probe: DokkuCommand = command("apps:exists", app)
    answer = await transport.run(probe)
    if answer.exit in (0, MISSING_APP):
        return answer.exit == 0
    raise CommandFailedError(probe.name, answer.exit, answer.complaint)
