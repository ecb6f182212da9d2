"""What the manifest asks of a Dokku host, app by app and store by store; pure, knows no current state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from shared.errors import OperatorError
from shared.manifest import Manifest, Service
from shared.manifest_dokku import (
    AppDokku,
    ConfigSource,
    CronTask,
    DockerOption,
    DokkuSection,
    Link,
    Mount,
    Rights,
    Store,
)

#: Port of nginx in front of a public app, and host side of the map of every app.
HTTP_PORT = 80
HTTPS_PORT = 443
#: Standard ports of the stores' servers, in the order of `:expose`.
STORE_PORTS = MappingProxyType({"postgres": 5432, "redis": 6379, "rabbitmq": 5672})


class NoDokkuSectionError(OperatorError):
    """The manifest does not say anything about Dokku."""

    exit_code = 7

    def __init__(self) -> None:
        super().__init__(
            "the manifest has no [dokku] table; `migrate dokku export HOST` writes one"
        )


class UnknownAppError(OperatorError):
    """A name on the command line is no app of the manifest."""

    exit_code = 7

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__(f"{name} is no app of the manifest; apps are {', '.join(sorted(known))}")
        self.name = name


@dataclass(frozen=True, slots=True)
class Value:
    """The value of a variable; a secret one is shown as a hash only.

    `shell` is an expression that gives the same value in a shell script.
    """

    text: str = field(repr=False)
    is_secret: bool = True
    shell: str = ""


@dataclass(frozen=True, slots=True)
class DesiredApp:
    """One app as the manifest wants it.

    `properties` are those of `X:set` by (plugin, name). `config` has the variables of the manifest;
    those of links are made from `links`, because their passwords live on the host. `rights` by store have
    real table names only.
    """

    name: str
    public: bool
    domains: frozenset[str]
    port: int
    properties: Mapping[tuple[str, str], str]
    scale: Mapping[str, int]
    limits: Mapping[tuple[str, str], str]
    config: Mapping[str, Value]
    missing: Mapping[str, str]
    links: tuple[Link, ...]
    rights: Mapping[str, tuple[Rights, ...]]
    storage: tuple[Mount, ...]
    docker_options: tuple[DockerOption, ...]
    cron: tuple[CronTask, ...]
    letsencrypt: bool
    maintenance: bool
    folder: str

    @property
    def port_map(self) -> str:
        """The one entry of the port map that every app has."""
        return f"http:{HTTP_PORT}:{self.port}"


@dataclass(frozen=True, slots=True)
class DesiredHost:
    """The whole host. `stores` and `apps` are in the order in which they are made."""

    section: DokkuSection
    stores: Mapping[str, Store]
    apps: Mapping[str, DesiredApp]
    registry_password: Value | None = None


#: Place of the registry's password among the values: it belongs to no app.
REGISTRY_LOGIN = ("", "registry password")

#: Values of the manifest's variables by (app, variable); a source without a value is not in it.
Values = Mapping[tuple[str, str], Value]


def section_of(manifest: Manifest) -> DokkuSection:
    """The Dokku part of a manifest; raises NoDokkuSectionError."""
    if manifest.dokku is None:
        raise NoDokkuSectionError
    return manifest.dokku


def app_models(manifest: Manifest) -> dict[str, AppDokku]:
    """Every app of the manifest by its Dokku name, in the order of deploys."""
    section = section_of(manifest)
    models = dict(section.apps)
    models |= {service.app: service.dokku for service in manifest.services.values()}
    return {name: models[name] for name in deploy_order(models)}


def deploy_order(models: Mapping[str, AppDokku]) -> tuple[str, ...]:
    """Names with every `deploy_after` before its app; names that are not in `models` are ignored."""
    order: list[str] = []

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            circle = " after ".join((*path[path.index(name) :], name))
            raise OperatorError(f"deploy_after runs in a circle: {circle}; take one of them out")
        if name in order or name not in models:
            return
        for before in models[name].deploy_after:
            visit(before, (*path, name))
        order.append(name)

    for name in models:
        visit(name, ())
    return tuple(order)


def config_sources(manifest: Manifest) -> dict[str, dict[str, ConfigSource]]:
    """Where the variables of every app come from: common ones, then the app's own."""
    section = section_of(manifest)
    sources: dict[str, dict[str, ConfigSource]] = {}
    for name, model in app_models(manifest).items():
        common = section.common_config if model.common else {}
        sources[name] = {**common, **model.config}
    return sources


def chosen(manifest: Manifest, names: Iterable[str] = ()) -> tuple[str, ...]:
    """The named apps in deploy order, all when none is named; raises UnknownAppError."""
    known = app_models(manifest)
    wanted = set(names)
    for name in sorted(wanted - set(known)):
        raise UnknownAppError(name, known)
    return tuple(name for name in known if not wanted or name in wanted)


def desired_host(
    manifest: Manifest,
    values: Values,
    missing: Mapping[tuple[str, str], str] = MappingProxyType({}),
) -> DesiredHost:
    """The state that the manifest asks for.

    `values` come from `migrate.dokku.values`; `missing` says, per (app, variable) that must have a
    value and has none, where it should have come from.
    """
    section = section_of(manifest)
    services = {row.app: row for row in manifest.services.values()}
    apps = {
        name: _app(manifest, name, model, services.get(name), values, missing)
        for name, model in app_models(manifest).items()
    }
    return DesiredHost(section, section.stores, apps, values.get(REGISTRY_LOGIN))


def _app(
    manifest: Manifest,
    name: str,
    model: AppDokku,
    service: Service | None,
    values: Values,
    missing: Mapping[tuple[str, str], str],
) -> DesiredApp:
    section = section_of(manifest)
    own = {link.env for link in model.links}
    common = section.common_links if model.common else ()
    links = (*(link for link in common if link.env not in own), *model.links)
    _check_aliases(name, links)
    domains = frozenset(model.domains or (manifest.project.public_host,)) if model.public else ()
    return DesiredApp(
        name=name,
        public=model.public,
        domains=frozenset(domains),
        port=model.port or section.container_port,
        properties=MappingProxyType(_properties(section, name, model)),
        scale={process: model.processes[process].quantity for process in model.processes},
        limits=_limits(model),
        config={key: value for (app, key), value in values.items() if app == name},
        missing={key: where for (app, key), where in missing.items() if app == name},
        links=links,
        rights={link.store: _rights(section, link, service) for link in links if link.role},
        storage=model.storage,
        docker_options=model.docker_options,
        cron=model.cron,
        letsencrypt=model.letsencrypt,
        maintenance=model.maintenance,
        folder=f"dokku/{name}",
    )


def _properties(section: DokkuSection, name: str, model: AppDokku) -> dict[tuple[str, str], str]:
    docker_local = section.scheduler == "docker-local"
    attach = section.network if docker_local else ""
    properties = {
        ("git", "deploy-branch"): section.deploy_branch,
        ("builder", "selected"): "dockerfile",
        ("builder", "build-dir"): "",
        ("builder-dockerfile", "dockerfile-path"): section.dockerfile,
        ("ps", "procfile-path"): f"dokku/{name}/Procfile",
        ("app-json", "appjson-path"): f"dokku/{name}/app.json",
        ("ps", "restart-policy"): model.restart_policy,
        ("ps", "stop-timeout-seconds"): str(model.stop_timeout_seconds),
        ("checks", "wait-to-retire"): str(model.wait_to_retire_seconds),
        ("scheduler", "selected"): section.scheduler,
        ("network", "initial-network"): "",
        ("network", "tld"): "",
        ("network", "attach-post-create"): attach if model.attach == "post-create" else "",
        ("network", "attach-post-deploy"): attach if model.attach == "post-deploy" else "",
    }
    if not docker_local:
        properties |= {
            ("registry", "server"): section.k3s.registry,
            ("registry", "push-on-release"): "true",
            ("scheduler-k3s", "namespace"): section.k3s.namespace,
        }
        if model.letsencrypt:  # certificates come from the cluster itself
            properties["scheduler-k3s", "letsencrypt-email-prod"] = section.letsencrypt_email
        if section.k3s.image_repo_template:
            properties["registry", "image-repo-template"] = section.k3s.image_repo_template
    return properties | {("nginx", key): value for key, value in model.nginx.items()}


def _limits(model: AppDokku) -> dict[tuple[str, str], str]:
    limits: dict[tuple[str, str], str] = {}
    for process, row in model.processes.items():
        if row.memory is not None:
            limits[process, "memory"] = row.memory
        if row.cpu is not None:
            limits[process, "cpu"] = row.cpu
    return limits


def _rights(section: DokkuSection, link: Link, service: Service | None) -> tuple[Rights, ...]:
    is_shared = service is not None and link.store == section.shared_store
    groups = {"@owned": service.tables, "@reads": service.reads} if service else {}
    return tuple(
        rights.model_copy(
            update={
                "tables": tuple(
                    table for word in rights.tables for table in groups.get(word, (word,))
                )
            }
        )
        for rights in (*link.rights, *(section.shared_rights if is_shared else ()))
    )


def _check_aliases(app: str, links: tuple[Link, ...]) -> None:
    """The plugins find a taken alias by substring, so one alias must not contain another one's.

    Aliases of links without a role come first, in an order in which no later one is refused.
    """
    names = [f"{link.plugin_alias}_URL" for link in links] + [link.env for link in links]
    for link in links:
        own = f"{link.plugin_alias}_URL"
        blocking = [name for name in names if own in name and name != own]
        if blocking:
            raise OperatorError(
                f"app {app}: the link to {link.store} makes {own}, which Dokku takes as present"
                f" because {blocking[0]} contains it; give the link another alias"
            )
