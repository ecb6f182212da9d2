"""What a Dokku host remembers: apps, containers, stores, properties."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Container:
    """The running containers of an app: the environment, scale and options they were made with."""

    revision: str
    env: dict[str, str]
    scale: dict[str, int]
    networks: tuple[str, ...]
    limits: dict[str, str]
    links: tuple[str, ...]


@dataclass
class Build:
    """One entry of `builds:list`."""

    id: str
    status: str
    source: str


@dataclass
class App:
    """One app."""

    name: str
    config: dict[str, str] = field(default_factory=dict)
    scale: dict[str, int] = field(default_factory=lambda: {"web": 1})
    domains: list[str] = field(default_factory=list)
    domains_enabled: bool = True
    proxy_enabled: bool = True
    ports: list[str] = field(default_factory=list)
    limits: dict[str, str] = field(default_factory=dict)
    docker_options: dict[str, list[str]] = field(
        default_factory=lambda: {"build": [], "deploy": [], "run": []}
    )
    mounts: list[tuple[str, str]] = field(default_factory=list)
    checks_disabled: list[str] = field(default_factory=list)
    suspended: list[str] = field(default_factory=list)
    certificate: tuple[str, str] | None = None
    letsencrypt: bool = False
    maintenance: bool = False
    locked: bool = False
    running: bool = False
    stopped: bool = False
    containers: Container | None = None
    source: str = ""
    pushed: str = ""  # what the deploy branch of the app's repository is at
    procfile: dict[str, str] = field(default_factory=dict)
    app_json: dict[str, Any] = field(default_factory=dict)
    builds: list[Build] = field(default_factory=list)
    deploys: int = 0
    vhost: dict[str, str] | None = None  # nginx properties at the last build of the vhost


@dataclass
class Store:
    """One database, cache or broker."""

    name: str
    kind: str
    version: str
    password: str
    config_options: str = ""
    post_create_network: str = ""
    attached: tuple[str, ...] = ()
    links: list[str] = field(default_factory=list)
    status: str = "running"
    exposed: list[str] = field(default_factory=list)
    backup: str = ""
    settings: dict[str, str] = field(default_factory=dict)
    written: dict[str, str] = field(default_factory=dict)
    database: str = ""
    starts: int = 1


@dataclass
class State:
    """Everything."""

    apps: dict[str, App] = field(default_factory=dict)
    stores: dict[tuple[str, str], Store] = field(default_factory=dict)
    networks: set[str] = field(default_factory=set)
    properties: dict[tuple[str, str, str], str] = field(default_factory=dict)
    storage: dict[str, dict[str, str]] = field(default_factory=dict)
    global_domains: list[str] = field(default_factory=list)
    plugins: dict[str, str] = field(default_factory=dict)
    autorenew: bool = False
    registries: dict[str, str] = field(default_factory=dict)
