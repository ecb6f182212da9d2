"""Writes the Dokku part of a manifest from a live host, so that an existing system can be adopted."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from migrate.dokku import reports
from migrate.dokku.argv import command
from migrate.dokku.observed import ObservedApp
from migrate.dokku.plan_web import is_own_nginx_key
from migrate.dokku.reading import gather, read_app
from migrate.dokku.session import find_target, ssh_options
from migrate.dokku.transport import LocalTransport, SshTransport, Transport, must
from shared.manifest_dokku import DokkuSection

_KINDS = ("postgres", "redis", "rabbitmq")
#: Variables that Dokku sets; those of links are written as links.
_IGNORED = ("GIT_REV", "NO_VHOST", "DOKKU_")


@dataclass(frozen=True, slots=True)
class FoundStore:
    """A store that some app is linked to, with the variables that hold its address."""

    name: str
    kind: str
    version: str
    dsn: str
    networks: tuple[str, ...]


async def export_host(named: str) -> str:
    """Connect, read everything that the manifest can say, and write it as TOML."""
    target = find_target(DokkuSection(host=named), named, os.environ)
    if target.is_local:
        return await export(LocalTransport(), target.host, target.user)
    way = SshTransport(
        target.host, user=target.user, port=target.port, options=ssh_options(os.environ)
    )
    async with way as transport:
        return await export(transport, target.host, target.user)


async def export(transport: Transport, host: str, user: str = "dokku") -> str:
    """The TOML text of `[dokku]` for every app and linked store of a host."""
    answer = await must(transport, command("apps:list", "--format", "json"))
    names = reports.names("apps:list", answer.text)
    apps: list[ObservedApp] = await gather(
        *(read_app(transport, name, public=True, k3s=False) for name in names)
    )
    stores = await _stores(transport, names)
    lines = list(_section(host, user, apps))
    for store in stores:
        lines += _store_lines(store)
    for app in apps:
        lines += _app_lines(app, stores)
    return "\n".join(lines) + "\n"


async def _stores(transport: Transport, apps: tuple[str, ...]) -> list[FoundStore]:
    """Stores by way of the apps' links: a list of all would come as a table for people."""
    found: dict[tuple[str, str], FoundStore] = {}
    for kind in _KINDS:
        for app in apps:
            answer = await transport.run(command(f"{kind}:app-links", app))
            if answer.exit != 0:
                continue
            for name in sorted(reports.words(answer.text)):
                if (kind, name) not in found:
                    found[kind, name] = await _store(transport, kind, name)
    return list(found.values())


async def _store(transport: Transport, kind: str, name: str) -> FoundStore:
    facts = reports.information((await must(transport, command(f"{kind}:info", name))).text)
    networks = sorted(reports.listed(facts.get("post-create-network", "")))
    version = facts.get("version", "").rpartition(":")[2]
    return FoundStore(name, kind, version, facts.get("dsn", ""), tuple(networks))


def _section(host: str, user: str, apps: list[ObservedApp]) -> Iterator[str]:
    yield f"# Read from {host}. Values of variables are not here: say for each where it comes from."
    yield "[dokku]"
    yield f"host = {_text(host)}"
    yield f"user = {_text(user)}"
    networks = {
        app.computed("network", f"attach-post-{w}") for app in apps for w in ("create", "deploy")
    }
    known = sorted(filter(None, networks))
    yield f"network = {_text(known[0] if known else 'internal')}"
    branches = sorted({app.computed("git", "deploy-branch") for app in apps} - {""})
    yield f"deploy_branch = {_text(branches[0] if branches else 'main')}"
    email = next((e for a in apps if (e := a.computed("letsencrypt", "email"))), "")
    yield f"letsencrypt_email = {_text(email)}"


def _store_lines(store: FoundStore) -> Iterator[str]:
    yield ""
    yield f"[dokku.stores.{store.name}]"
    yield f"kind = {_text(store.kind)}"
    yield f"image_version = {_text(store.version)}"
    yield f"networks = {json.dumps(list(store.networks))}"


def _app_lines(app: ObservedApp, stores: list[FoundStore]) -> Iterator[str]:
    yield ""
    yield f"[dokku.apps.{app.name}]"
    public = app.has_proxy and app.domains_enabled
    if public:
        yield "public = true"
        yield f"domains = {json.dumps(sorted(app.domains))}"
        active = app.get("letsencrypt", "active") == "true"
        yield f"letsencrypt = {'true' if active else 'false'}"
    attach = "post-create" if app.computed("network", "attach-post-create") else "post-deploy"
    yield f"attach = {_text(attach)}"
    yield f"wait_to_retire_seconds = {app.computed('checks', 'wait-to-retire') or 60}"
    yield f"stop_timeout_seconds = {app.computed('ps', 'stop-timeout-seconds') or 30}"
    yield f"restart_policy = {_text(app.computed('ps', 'restart-policy') or 'on-failure:10')}"
    links = list(_links(app, stores))
    if links:
        yield "links = ["
        yield from (f"  {line}," for line in links)
        yield "]"
    yield from _processes(app)
    nginx = {
        key: value
        for key, value in sorted(app.reports.get("nginx", {}).items())
        if value and is_own_nginx_key(key)
    }
    if public and nginx:
        yield f"[dokku.apps.{app.name}.nginx]"
        yield from (f"{key} = {_text(value)}" for key, value in nginx.items())
    plain = [key for key in sorted(app.config) if not _is_linked(app, key, stores)]
    if plain:
        yield f"[dokku.apps.{app.name}.config]"
        yield from (f"{key} = {{ env = {_text(key)} }}" for key in plain)


def _processes(app: ObservedApp) -> Iterator[str]:
    yield f"[dokku.apps.{app.name}.processes]"
    limits: Mapping[str, str] = app.reports.get("resource", {})
    for name, count in sorted(app.scale.items()):
        found = {kind: limits.get(f"{name}.limit.{kind}") for kind in ("memory", "cpu")}
        parts = [f"quantity = {count}"]
        parts += [f"{kind} = {_text(value)}" for kind, value in found.items() if value]
        yield f"{name} = {{ {', '.join(parts)} }}"


def _links(app: ObservedApp, stores: list[FoundStore]) -> Iterator[str]:
    for store in stores:
        for key, value in app.config.items():
            if store.dsn and value.partition("?")[0] == store.dsn:
                yield f"{{ store = {_text(store.name)}, env = {_text(key)} }}"


def _is_linked(app: ObservedApp, key: str, stores: list[FoundStore]) -> bool:
    value = app.config[key].partition("?")[0]
    return key.startswith(_IGNORED) or any(store.dsn and value == store.dsn for store in stores)


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)
