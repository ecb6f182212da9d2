"""Frozen models of the manifest's Dokku part: host, stores, apps; pure, knows no command and no host state.

Sources of the ranges and words are Dokku 0.38 and its plugins (postgres 1.48, redis 1.43, rabbitmq 1.40).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

#: `apps:create` accepts exactly this (no underscore).
AppName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$", max_length=63)]
#: Service plugins accept exactly this; the alias on a network is `dokku-<kind>-<name>`.
StoreName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$", max_length=63)]
ConfigKey = Annotated[str, Field(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$")]
ProcessName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]
HostName = Annotated[str, Field(pattern=r"^(\*\.)?[a-z0-9]([a-z0-9.-]*[a-z0-9])?$", max_length=253)]


def _own_network(name: str) -> str:
    if name in {"host", "bridge", "none"}:
        raise ValueError(f"{name} is Docker's own network; name one of the migration's")
    return name


NetworkName = Annotated[
    str, Field(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_.-]*$"), AfterValidator(_own_network)
]
RoleName = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]*$", max_length=63)]
#: Kibibyte-style suffixes as Docker reads them: `512m`, `2g`.
Memory = Annotated[str, Field(pattern=r"^[0-9]+[bkmg]?$")]
CronSchedule = Annotated[str, Field(pattern=r"^\S+( \S+){4}$")]

StoreKind = Literal["postgres", "redis", "rabbitmq"]
Scheduler = Literal["docker-local", "k3s"]


class Frozen(BaseModel):
    """Base of all models here: immutable, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class ConfigSource(Frozen):
    """Where the value of one environment variable comes from; exactly one source.

    `value` stands in the manifest itself and is printed in plans; `env` (a variable of the operator's
    shell), `file` and `command` (argument list, its output without the last newline is the value) are
    secrets: sent on stdin, hashed in plans. `upstream` is the internal URL of an app, which depends on
    the scheduler. An `optional` source that has no value leaves the variable unset.
    """

    value: str | None = None
    env: ConfigKey | None = None
    file: str | None = None
    command: tuple[str, ...] | None = None
    upstream: AppName | None = None
    optional: bool = False

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        given = [
            name
            for name in ("value", "env", "file", "command", "upstream")
            if getattr(self, name) is not None
        ]
        if len(given) != 1:
            raise ValueError(
                "give exactly one of value, env, file, command, upstream;"
                f" got {', '.join(given) or 'none'}"
            )
        return self

    @property
    def is_secret(self) -> bool:
        """Whether the value must never be printed or put on a command line."""
        return self.value is None and self.upstream is None


def _source(raw: Any) -> Any:
    """A bare string in TOML is a plain value: `LOG_LEVEL = "info"`."""
    return {"value": raw} if isinstance(raw, str) else raw


Config = dict[ConfigKey, Annotated[ConfigSource, BeforeValidator(_source)]]


class Rights(Frozen):
    """Rights of a login role in one schema of a database.

    `tables`: names of tables and views, `*` (every one of the schema, also later ones), `@owned` (the
    tables that the manifest gives to this service) or `@reads` (its key `reads`). `read` = SELECT;
    `write` = also INSERT, UPDATE, DELETE and the sequences; `own` = also CREATE in the schema, for roles
    that run its migrations. `functions`: names, `*` at the end matches the rest; EXECUTE.
    """

    schema_name: RoleName = Field("public", alias="schema")
    tables: tuple[str, ...] = ()
    rights: Literal["read", "write", "own"] = "read"
    functions: tuple[str, ...] = ()


class Link(Frozen):
    """One store that an app uses.

    Without `role`, `env` receives the plugin's own URL (superuser on PostgreSQL). With `role`, a login
    role with `rights` only is made in the store, `env` receives its DSN, and the plugin's superuser
    variable is taken away again; the link itself stays, because it makes the store's name resolvable.
    `alias` is the alias of the plugin's variable `<ALIAS>_URL`; left out, it follows from `env`, or for
    a role, or an `env` that does not end in _URL, from the store (`content-db` gives `CONTENT_DB_ADMIN`).
    `if_exists` never makes the store: the link comes once another app has brought it.
    """

    store: StoreName
    env: Annotated[str, Field(pattern=r"^[A-Z_][A-Z0-9_]*$")]
    role: RoleName | None = None
    rights: tuple[Rights, ...] = ()
    alias: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$")] | None = None
    querystring: str = ""
    if_exists: bool = False

    @model_validator(mode="after")
    def _alias_makes_env(self) -> Self:
        if self.role is None and self.rights:
            raise ValueError(f"link to {self.store}: rights need a role")
        if self.alias is not None and self.role is None and not self.sets_itself:
            raise ValueError(
                f"link to {self.store}: Dokku always appends _URL, so alias {self.alias}"
                f" cannot set {self.env}; leave the alias out"
            )
        return self

    @property
    def sets_itself(self) -> bool:
        """Whether the plugin's own variable is the one that the app reads."""
        return self.role is None and f"{self.plugin_alias}_URL" == self.env

    @property
    def plugin_alias(self) -> str:
        """The word after `--alias`; the plugin sets `<alias>_URL`."""
        if self.alias is not None:
            return self.alias
        if self.role is None and self.env.endswith("_URL"):
            return self.env.removesuffix("_URL")
        return self.store.upper().replace("-", "_") + "_ADMIN"


class Process(Frozen):
    """Scale and limits of one Procfile entry. `cpu` in cores, limits only, per container."""

    quantity: int = Field(1, ge=0, le=100)
    memory: Memory | None = None
    cpu: Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?$")] | None = None


class Mount(Frozen):
    """A named storage entry and where the app sees it. `mode` is octal, `chown` a uid or a Dokku word."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", max_length=45)]
    container_dir: Annotated[str, Field(pattern=r"^/")]
    host_dir: Annotated[str, Field(pattern=r"^/")] | None = None
    chown: str | None = None
    mode: Annotated[str, Field(pattern=r"^0?[0-7]{3,4}$")] | None = None
    size: Annotated[str, Field(pattern=r"^[0-9]+[MGT]i$")] | None = None


class DockerOption(Frozen):
    """One raw Docker option of an app, per phase."""

    phase: Literal["build", "deploy", "run"]
    option: Annotated[str, Field(pattern=r"^-")]


class CronTask(Frozen):
    """A command that Dokku runs by the clock in a one-off container of the app, like an entry of app.json."""

    schedule: CronSchedule
    command: Annotated[str, Field(pattern=r"^\S")]


class AppDokku(Frozen):
    """Everything that Dokku must know about one app; the app's name is the key of the table around it.

    `public` apps have nginx in front and own `domains` (empty = the public host of the manifest);
    others have no virtual host and are reached as `<app>.web` on the internal network. `attach`: from
    creation (the router, whose one-off containers must reach the services) or after the health checks
    (services: the alias appears only when healthy). `paths`: a change below them, or below the host's
    `image_paths`, or with `uses_shared` its `shared_paths`, means that the app must be deployed.
    `deploy_after`: apps deployed before this one. `cron` says what app.json must schedule: Dokku reads
    that at a deploy, so a plan compares and cannot mend.
    """

    public: bool = False
    domains: tuple[HostName, ...] = ()
    letsencrypt: bool = False
    maintenance: bool = False
    processes: dict[ProcessName, Process] = {"web": Process()}
    port: int | None = Field(None, ge=1, le=65535)
    attach: Literal["post-create", "post-deploy"] = "post-deploy"
    nginx: dict[str, str] = {}
    links: tuple[Link, ...] = ()
    common: bool = True
    config: Config = {}
    storage: tuple[Mount, ...] = ()
    docker_options: tuple[DockerOption, ...] = ()
    cron: tuple[CronTask, ...] = ()
    wait_to_retire_seconds: int = Field(60, ge=0)
    stop_timeout_seconds: int = Field(30, ge=1)
    restart_policy: Annotated[
        str, Field(pattern=r"^(no|always|unless-stopped|on-failure(:[0-9]+)?)$")
    ] = "on-failure:10"
    paths: tuple[str, ...] = ()
    uses_shared: bool = True
    deploy_after: tuple[AppName, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.public and (self.domains or self.letsencrypt or self.nginx):
            raise ValueError("domains, letsencrypt and nginx need public = true")
        envs = [link.env for link in self.links]
        if len(set(envs)) != len(envs):
            raise ValueError("two links set the same variable")
        taken = set(envs) & set(self.config)
        if taken:
            raise ValueError(f"{', '.join(sorted(taken))} is set by a link and by config")
        forbidden = {"PORT", "GIT_REV", "NO_VHOST"} & set(self.config)
        if forbidden:
            raise ValueError(f"{', '.join(sorted(forbidden))} belongs to Dokku; leave it out")
        return self


class Backup(Frozen):
    """Scheduled dump of a PostgreSQL or Redis store to an S3 bucket (`backup-auth` is set on the host)."""

    schedule: CronSchedule
    bucket: Annotated[str, Field(pattern=r"^\S+$")]
    use_iam: bool = False


class Store(Frozen):
    """A database, cache or broker made by a Dokku service plugin.

    `settings`: server settings, PostgreSQL only, given as `-c name=value` at creation and by ALTER
    SYSTEM later. `networks` are attached when the container is made. `memory_mb`, `shm_size` and
    `custom_env` act at creation only and cannot be read back. `expose`: `ip:port` or `port` list.
    """

    kind: StoreKind
    image_version: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")]
    image: str | None = None
    settings: dict[Annotated[str, Field(pattern=r"^[a-z_.]+$")], str] = {}
    networks: tuple[NetworkName, ...] = ()
    memory_mb: int | None = Field(None, ge=16)
    shm_size: Memory | None = None
    custom_env: dict[ConfigKey, str] = {}
    expose: tuple[str, ...] = ()
    backup: Backup | None = None

    @model_validator(mode="after")
    def _kind_allows(self) -> Self:
        if self.settings and self.kind != "postgres":
            raise ValueError("settings are for postgres stores only")
        if self.backup and self.kind == "rabbitmq":
            raise ValueError("the rabbitmq plugin has no backup")
        return self

    @property
    def major(self) -> str:
        """Major version: data files of two majors are not compatible."""
        return self.image_version.split(".")[0].split("-")[0]


class K3s(Frozen):
    """What only the k3s scheduler needs. `store_host` is the address at which nodes reach exposed stores.

    With `registry_user` the host is logged in to the registry; the password goes over stdin.
    """

    registry: str = ""
    registry_user: str = ""
    registry_password: Annotated[ConfigSource, BeforeValidator(_source)] | None = None
    image_repo_template: str = ""
    namespace: str = "default"
    store_host: str = ""


class DokkuSection(Frozen):
    """The host, the stores, the apps that are not services, and what all apps have in common.

    `apps` holds the router, the monolith and the like; a service brings its own `AppDokku`. `common_config`
    and `common_links` reach every app with `common = true` (the app's own entries win). `shared_store` is
    the PostgreSQL store that the monolith owns; roles of services in it have `shared_rights` besides those
    of their links. `operator` is the app whose one-off containers run the command beside the databases.
    """

    host: str
    user: str = "dokku"
    ssh_port: int = Field(22, ge=1, le=65535)
    scheduler: Scheduler = "docker-local"
    network: NetworkName = "internal"
    deploy_branch: str = "main"
    dockerfile: str = "dokku/Dockerfile"
    container_port: int = Field(8080, ge=1, le=65535)
    letsencrypt_email: str = ""
    letsencrypt_server: str = "default"
    image_paths: tuple[str, ...] = ()
    shared_paths: tuple[str, ...] = ()
    deploy_parallel: int = Field(1, ge=1, le=16)
    common_config: Config = {}
    common_links: tuple[Link, ...] = ()
    shared_store: StoreName | None = None
    shared_rights: tuple[Rights, ...] = ()
    operator: AppName | None = None
    stores: dict[StoreName, Store] = {}
    apps: dict[AppName, AppDokku] = {}
    k3s: K3s = K3s()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.scheduler == "k3s" and not (self.k3s.registry and self.k3s.store_host):
            raise ValueError('scheduler = "k3s" needs k3s.registry and k3s.store_host')
        if bool(self.k3s.registry_user) != (self.k3s.registry_password is not None):
            raise ValueError("k3s.registry_user and k3s.registry_password go together")
        if self.shared_store is not None and self.shared_store not in self.stores:
            raise ValueError(f"shared_store {self.shared_store} is not in [dokku.stores]")
        if self.operator is not None and self.operator not in self.apps:
            raise ValueError(f"operator {self.operator} is not in [dokku.apps]")
        for name, app in self.apps.items():
            for link in (*app.links, *self.common_links):
                if link.store not in self.stores:
                    raise ValueError(
                        f"app {name} links store {link.store}, which [dokku.stores] does not have"
                    )
            if app.letsencrypt and not self.letsencrypt_email:
                raise ValueError(f"app {name} has letsencrypt = true: set letsencrypt_email")
        return self

    def upstream_url(self, app: str, port: int | None = None) -> str:
        """Internal address of an app's web process: a network alias, or a cluster service on k3s.

        A k3s service listens on the host port of the port map (80), a container on its own port.
        """
        if self.scheduler == "k3s":
            return f"http://{app}-web.{self.k3s.namespace}:80"
        return f"http://{app}.web:{port or self.container_port}"
