"""The state of a Dokku host as frozen values; pure, knows no transport."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from migrate.dokku import reports
from migrate.dokku.database import DatabaseState

#: Kept beside the hashes for an app that a phase stopped, and for one that it started again.
STOPPED, STARTED = "stopped", "started"


def run_key(app: str) -> str:
    """Under which that is kept."""
    return f"app {app} run"


@dataclass(frozen=True, slots=True)
class MountedAt:
    """A storage entry mounted into an app."""

    entry: str
    container_dir: str


@dataclass(frozen=True, slots=True)
class ObservedTask:
    """A task that Dokku runs by the clock."""

    identity: str
    schedule: str
    command: str
    is_suspended: bool


@dataclass(frozen=True, slots=True)
class ObservedApp:
    """One app as it is. `reports` by plugin with short keys; `config` holds secrets."""

    name: str
    reports: Mapping[str, Mapping[str, str]]
    config: Mapping[str, str] = field(repr=False)
    scale: Mapping[str, int]
    mounts: tuple[MountedAt, ...]
    tasks: tuple[ObservedTask, ...]

    def get(self, plugin: str, key: str) -> str:
        """A value of a report; empty when it is not there."""
        return self.reports.get(plugin, {}).get(key, "")

    def computed(self, plugin: str, key: str) -> str:
        """What is in effect: the app's own value, else the global one or the default."""
        found = self.reports.get(plugin, {})
        return found.get(f"computed-{key}", found.get(key, ""))

    @property
    def is_deployed(self) -> bool:
        return self.get("ps", "deployed") == "true"

    @property
    def running(self) -> str:
        """`true`, `mixed` or `false`."""
        return self.get("ps", "running")

    @property
    def is_locked(self) -> bool:
        return self.get("apps", "locked") == "true"

    @property
    def has_proxy(self) -> bool:
        return self.get("proxy", "enabled") == "true"

    @property
    def has_certificate(self) -> bool:
        return self.get("certs", "enabled") == "true"

    @property
    def domains(self) -> frozenset[str]:
        return frozenset(self.get("domains", "app-vhosts").split())

    @property
    def domains_enabled(self) -> bool:
        return self.get("domains", "app-enabled") == "true"

    @property
    def port_map(self) -> frozenset[str]:
        return reports.port_map(self.reports.get("ports", {}))

    def docker_options(self, phase: str) -> tuple[str, ...]:
        """Docker options of a phase."""
        return reports.options(self.reports.get("docker-options", {}), phase)


@dataclass(frozen=True, slots=True)
class ObservedStore:
    """One store as it is; `dsn` is the plugin's superuser URL. `database` only on PostgreSQL."""

    name: str
    kind: str
    status: str
    version: str
    dsn: str = field(repr=False)
    links: frozenset[str]
    post_create_network: frozenset[str]
    exposed: str
    backup: str
    database: DatabaseState | None

    @property
    def is_running(self) -> bool:
        return self.status == "running"


@dataclass(frozen=True, slots=True)
class ObservedHost:
    """The host as it is, as far as the manifest is about it. `domain_owners`: app by host name."""

    app_names: frozenset[str]
    apps: Mapping[str, ObservedApp]
    stores: Mapping[str, ObservedStore]
    networks: frozenset[str]
    storage_entries: frozenset[str]
    domain_owners: Mapping[str, str]
    autocreation_disabled: bool
    letsencrypt: Mapping[str, str]
    digests: Mapping[str, str]

    def is_stopped(self, app: str) -> bool:
        """Whether a phase stopped the app for good: then nothing may start it in passing."""
        return self.digests.get(run_key(app)) == STOPPED
