"""The manifest: facts about the migration that a commit changes, read from TOML into frozen models; pure."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from shared.errors import OperatorError
from shared.manifest_dokku import AppDokku, AppName, DokkuSection
from shared.manifest_phases import Phase
from shared.routing.policy import RoutePolicy

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
TableName = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]{0,62}$")]
HostName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$", max_length=253)]
EventType = Annotated[str, Field(pattern=r"^[a-z]+(\.[a-z_]+)+$")]
Kind = Literal["read", "write", "stream", "upload", "websocket", "webhook"]
Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]

#: Kinds of routes that may change rows: the ones that ownership of data is about.
WRITING_KINDS = frozenset({"write", "stream", "upload", "websocket", "webhook"})


class ManifestError(OperatorError):
    """The manifest cannot be used; `problems` has one line per entry that is wrong."""

    def __init__(self, path: str, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join([f"{path} has {len(problems)} problem(s):", *problems]))
        self.path = path
        self.problems = problems


def _check_sticky(value: str) -> str:
    if value in {"user", "session", "ip"}:
        return value
    prefix, _, rest = value.partition(":")
    if prefix in {"header", "cookie", "body"} and rest:
        return value
    raise ValueError(
        "sticky is user, session, ip, header:<name>, cookie:<name> or body:<json.path>"
    )


def _check_path(value: str) -> str:
    if not value.startswith("/") or "//" in value or (len(value) > 1 and value.endswith("/")):
        raise ValueError("a path starts with /, has no // and no trailing slash")
    for segment in value.removesuffix("/*").split("/"):
        if ("{" in segment or "}" in segment) and not (
            segment.startswith("{") and segment.endswith("}") and segment[1:-1].isidentifier()
        ):
            raise ValueError(f"segment {segment!r} is neither plain text nor one {{parameter}}")
        if "*" in segment:
            raise ValueError("* may only be the last segment of a path: it takes everything below")
    return value


Sticky = Annotated[str, AfterValidator(_check_sticky)]
PathPattern = Annotated[str, AfterValidator(_check_path)]


class Model(BaseModel):
    """Frozen, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Project(Model):
    """What the whole migration is about."""

    name: Name
    public_host: str
    base_path: str = "/api"


class Gates(Model):
    """Bounds that a judged ramp, a split and a finalize must keep."""

    min_samples: int = Field(default=100, ge=1)  # answers per side before a judgement
    max_mismatch_percent: float = Field(default=0.1, ge=0, le=100)
    max_error_percent: float = Field(
        default=1.0, ge=0, le=100
    )  # 5xx of the service, beyond the monolith's
    max_latency_ratio: float = Field(default=1.5, gt=0)  # p99 service / p99 monolith
    hold_seconds: float = Field(default=2.0, gt=0, le=30)
    drain_seconds: float = Field(default=30.0, gt=0)
    soak_days: float = Field(default=7.0, ge=0)  # silence of the old tables before finalize


class Upstream(Model):
    """Time limits and health of the connections to one app."""

    connect_seconds: float = Field(default=2.0, gt=0)
    first_byte_seconds: float = Field(default=60.0, gt=0)
    activity_seconds: float = Field(default=100.0, gt=0)
    health_path: str = "/healthz"
    max_connections: int = Field(default=512, ge=1)


class Route(Model):
    """A named public endpoint pattern. `service` is filled in from the place in the file."""

    name: Annotated[str, Field(pattern=r"^[a-z]+\.[a-z0-9_]+$")]
    method: Method
    path: PathPattern
    service: Name
    kind: Kind
    auth: Literal["public", "user", "tier1", "service_role", "signature"] = "user"
    idempotency: Literal["safe", "natural", "key", "event_id", "none"] = "none"
    bucket: Literal["default", "generate", "public", "sensitive", "none"] = "default"
    success: int = Field(default=200, ge=100, le=299)
    shadow: bool = False
    sticky: Sticky = "user"
    fallback: bool | None = (
        None  # None: reads fall back to the other side, everything else does not
    )
    rewrite: PathPattern | None = None
    first_byte_seconds: float | None = Field(default=None, gt=0)
    max_body_bytes: int | None = Field(default=None, ge=0)
    policy: RoutePolicy | None = None
    hosts: tuple[HostName, ...] = ()  # only for requests to these hosts; empty: every host

    @property
    def writes(self) -> bool:
        """Whether a request may change rows."""
        return self.kind in WRITING_KINDS

    @property
    def may_fall_back(self) -> bool:
        """Whether a failed attempt may be repeated at the other side (while data is shared)."""
        return self.kind == "read" if self.fallback is None else self.fallback

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.shadow and self.kind != "read":
            raise ValueError(f"{self.name} has kind {self.kind}: only reads may be shadowed")
        if self.fallback and self.idempotency not in {"safe", "natural", "key", "event_id"}:
            raise ValueError(f"{self.name} is not idempotent and so cannot have fallback = true")
        if self.sticky.startswith("body:") and self.kind != "webhook":
            raise ValueError(f"{self.name}: sticky body:… is for webhooks only")
        return self


class Service(Model):
    """One deployable unit that owns routes and tables."""

    name: Name
    app: AppName
    placement: Literal["shared", "own"]  # where its tables are when the migration has ended
    tables: tuple[TableName, ...] = ()
    reads: tuple[
        TableName, ...
    ] = ()  # tables or views of others that it may read while they are shared
    publishes: tuple[EventType, ...] = ()
    subscribes: tuple[EventType, ...] = ()
    routes: tuple[Route, ...]
    gates: Gates = Gates()
    upstream: Upstream = Upstream()
    dokku: AppDokku = AppDokku()


class Monolith(Model):
    """The old API."""

    app: AppName
    upstream: Upstream = Upstream()


class Router(Model):
    """The proxy that owns the public host."""

    app: AppName
    workers: int = Field(default=2, ge=1, le=64)
    max_header_bytes: int = Field(default=32_768, ge=1024)
    max_url_bytes: int = Field(default=8_192, ge=256)
    max_body_bytes: int = Field(default=50 * 1024 * 1024, ge=0)
    header_seconds: float = Field(default=10.0, gt=0)
    idle_seconds: float = Field(default=75.0, gt=0)
    drain_seconds: float = Field(default=55.0, gt=0)
    access_log_sample: float = Field(default=1.0, ge=0, le=1)
    trusted_proxies: tuple[str, ...] = ()


class Platform(Model):
    """What belongs to no service: tables that every side uses, and table-free names of the contract."""

    shared_tables: tuple[TableName, ...] = ()
    everywhere_tables: tuple[TableName, ...] = ()  # one copy in every database, never moved


class Alias(Model):
    """A path prefix that means another one, for old clients."""

    prefix: str
    target: str


class Manifest(Model):
    """The whole migration on one page."""

    project: Project
    router: Router
    monolith: Monolith
    platform: Platform = Platform()
    aliases: tuple[Alias, ...] = ()
    services: Mapping[str, Service]
    phases: tuple[Phase, ...] = ()
    dokku: DokkuSection | None = None

    @property
    def routes(self) -> tuple[Route, ...]:
        """Every route of every service, in the order of the file."""
        return tuple(route for service in self.services.values() for route in service.routes)

    def route(self, name: str) -> Route | None:
        """The route of that name, if there is one."""
        return next((route for route in self.routes if route.name == name), None)

    def moving_services(self) -> tuple[Service, ...]:
        """Services whose tables end in their own database."""
        return tuple(row for row in self.services.values() if row.placement == "own")


def parse_manifest(text: str, source: str = "migration.toml") -> Manifest:
    """Read a manifest from TOML text; raises ManifestError with every problem and its line."""
    from shared.manifest_checks import find_line, problems

    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ManifestError(source, (f"not TOML: {error}",)) from error
    _name_services(data)
    try:
        manifest = Manifest.model_validate(data)
    except ValidationError as error:
        raise ManifestError(
            source,
            tuple(
                f"line {find_line(text, data, entry['loc'])}: "
                f"{'.'.join(str(part) for part in entry['loc'])}: {entry['msg']}"
                for entry in error.errors(include_url=False, include_input=False)
            ),
        ) from error
    if found := problems(manifest, text):
        raise ManifestError(source, found)
    return manifest


def load_manifest(path: Path | str = "migration.toml") -> Manifest:
    """Read the manifest file; raises ManifestError, also when it cannot be read."""
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(
            str(file),
            (f"cannot be read ({type(error).__name__}); name it with --manifest or MANIFEST",),
        ) from error
    return parse_manifest(text, str(file))


def _name_services(data: dict[str, Any]) -> None:
    """Fill in what the place in the file says: a service's name, and the service of its routes."""
    services = data.get("services")
    if not isinstance(services, dict):
        return
    for name, service in services.items():
        if not isinstance(service, dict):
            continue
        service.setdefault("name", name)
        for route in service.get("routes", ()):
            if isinstance(route, dict):
                route.setdefault("service", name)
