"""A compose file from the manifest: the same image, commands, stores and names as on Dokku; pure but for files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from migrate.dokku.desired import app_models, config_sources, section_of
from migrate.dokku.plan_stores import database_name
from migrate.dokku.procfile import argv, processes
from shared.manifest import Manifest
from shared.manifest_dokku import AppDokku, ConfigSource, Link, Store

#: Values for a laptop, where the manifest's are for the public host. Compose reads `${NAME:-default}`.
LOCAL: Mapping[str, str] = {
    "PROVIDERS": "${PROVIDERS:-reference}",
    "PUBLIC_BASE_URL": "http://localhost:8080",
    "ENVIRONMENT": "development",
    "PAYMENTS_LIVEMODE": "false",
    "SENTRY_DSN": "",
}
PASSWORD = "postgres"  # noqa: S105 - of containers on a private network of one machine

Node = str | int | Sequence["Node"] | Mapping[str, "Node"]

#: Waits for the end of a release task.
_COMPLETED: Node = {"condition": "service_completed_successfully"}
#: Storage that several apps see, owned by the account of the image; it lives as long as one of them.
_VOLUME: Node = {"driver_opts": {"type": "tmpfs", "device": "tmpfs", "o": "uid=1000"}}

_HEAD = """# Made from migration.toml by `migrate dokku compose`; change the manifest, not this file.
# Start it with: export JWT_SECRETS=$(openssl rand -hex 32) && docker compose up --build
"""


def compose_file(manifest: Manifest, root: Path = Path()) -> str:
    """The whole file. Procfiles are read below `root`."""
    section = section_of(manifest)
    services: dict[str, Node] = {
        name: _store(name, store) for name, store in section.stores.items()
    }
    image = {"build": {"context": ".", "dockerfile": section.dockerfile}}
    for app, model in app_models(manifest).items():
        text = (root / "dokku" / app / "Procfile").read_text(encoding="utf-8")
        released = [
            f"{name}-release" for name in model.deploy_after if f"{name}-release" in services
        ]
        services |= _app(manifest, app, model, processes(text), image, released)
    data: dict[str, Node] = {
        "name": manifest.project.name,
        "services": services,
        "networks": {"internal": {}},
        "volumes": {
            mount.name: _VOLUME
            for model in app_models(manifest).values()
            for mount in model.storage
        },
    }
    body = yaml.dump(data, Dumper=_Plain, sort_keys=False, default_flow_style=False, width=1000)
    return _HEAD + str(body)


class _Plain(yaml.SafeDumper):
    """Writes everything out: a person reads the file."""

    def ignore_aliases(self, _data: object) -> bool:
        return True


def _store(name: str, store: Store) -> Node:
    image = f"{store.image or store.kind}:{store.image_version}"
    base: dict[str, Node] = {"image": image, "networks": ["internal"], "restart": "unless-stopped"}
    if store.kind == "postgres":
        options = [word for k, v in store.settings.items() for word in ("-c", f"{k}={v}")]
        return base | {
            "command": ["postgres", *options],
            "environment": {"POSTGRES_PASSWORD": PASSWORD, "POSTGRES_DB": database_name(name)},
            "healthcheck": _check(["pg_isready", "-U", "postgres", "-d", database_name(name)]),
        }
    if store.kind == "redis":
        return base | {"healthcheck": _check(["redis-cli", "ping"])}
    return base | {"healthcheck": _check(["rabbitmq-diagnostics", "-q", "ping"])}


def _check(words: Sequence[str]) -> Node:
    return {"test": ["CMD", *words], "interval": "2s", "timeout": "5s", "retries": 30}


def _app(
    manifest: Manifest,
    app: str,
    model: AppDokku,
    entries: Mapping[str, str],
    image: Mapping[str, Node],
    released: Sequence[str],
) -> dict[str, Node]:
    section = section_of(manifest)
    port = model.port or section.container_port
    common = section.common_links if model.common else ()
    own = {link.env for link in model.links}
    links = (*(link for link in common if link.env not in own), *model.links)
    environment = _environment(manifest, app, links)
    stores = {link.store: {"condition": "service_healthy"} for link in links}
    base: dict[str, Node] = {
        "image": f"{manifest.project.name}:local",
        **image,
        "networks": ["internal"],
        "environment": environment,
    }
    made: dict[str, Node] = {}
    depends: dict[str, Node] = dict.fromkeys(released, _COMPLETED) | stores
    if "release" in entries:
        made[f"{app}-release"] = base | {
            "command": argv(entries["release"], {}),
            "depends_on": dict(depends),
        }
        depends[f"{app}-release"] = _COMPLETED
    for process, text in entries.items():
        if process == "release":
            continue
        row = base | {"command": argv(text, {"PORT": str(port)}), "depends_on": dict(depends)}
        count = model.processes[process].quantity if process in model.processes else 0
        if process == "web":
            alias: Node = {"internal": {"aliases": [f"{app}.web"]}}
            row |= {"environment": {**environment, "PORT": str(port)}, "networks": alias}
            row |= {"ports": [f"{port}:{port}"]} if model.public else {}
        if model.storage:
            row |= {"volumes": [f"{mount.name}:{mount.container_dir}" for mount in model.storage]}
        row |= {"restart": "unless-stopped"} if count else {"profiles": ["tools"]}
        made[app if process == "web" else f"{app}-{process}"] = row
    return made


def _environment(manifest: Manifest, app: str, links: Sequence[Link]) -> dict[str, Node]:
    section = section_of(manifest)
    found: dict[str, Node] = {}
    for key, source in config_sources(manifest)[app].items():
        text = LOCAL.get(key)
        found[key] = _value(manifest, source) if text is None else text
    for link in links:
        store = section.stores[link.store]
        found[link.env] = {
            "postgres": f"postgresql://postgres:{PASSWORD}@{link.store}:5432/{database_name(link.store)}",
            "redis": f"redis://{link.store}:6379",
            "rabbitmq": f"amqp://guest:guest@{link.store}:5672/",
        }[store.kind]
    return dict(sorted(found.items()))


def _value(manifest: Manifest, source: ConfigSource) -> str:
    if source.value is not None:
        return source.value.replace("$", "$$")
    if source.upstream is not None:
        model = app_models(manifest).get(source.upstream)
        port = (model.port if model else None) or section_of(manifest).container_port
        return f"http://{source.upstream}.web:{port}"
    if source.env is not None:
        return f"${{{source.env}:-}}" if source.optional else f"${{{source.env}:?is not set}}"
    return ""
