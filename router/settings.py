"""Settings of the router, read from the environment and checked as a whole before anything starts."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from router.client_limits import ClientLimits
from router.edge.build import TokenIssuers
from router.trust import TrustedProxies, TrustError
from shared.errors import OperatorError
from shared.manifest import Manifest

_MIN_SECRET_BYTES = 32  # RFC 7518 section 3.2


class RouterSettingsError(OperatorError):
    """The environment cannot be used; `problems` has one line per variable that is wrong."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(["the router cannot start:", *problems]))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class RouterSettings:
    """Everything a worker reads from its environment. Secrets stay out of the repr."""

    host: str
    port: int
    admin_host: str
    admin_port: int
    manifest: Path
    shared_database_url: str
    snapshot_path: Path | None
    workers: int
    instance_name: str
    version: str
    log_level: str
    upstream_urls: Mapping[str, str]
    trusted_proxies: tuple[str, ...]
    allowed_origins: tuple[str, ...]
    admin_token: str
    redis_url: str
    override_secrets: tuple[str, ...]
    identity_secrets: tuple[str, ...]
    token_issuers: TokenIssuers
    access_log_sample: float
    max_clients: int

    def __repr__(self) -> str:
        return f"RouterSettings({self.instance_name}, {self.host}:{self.port})"

    def worker_name(self, number: int) -> str:
        """Name of a worker: the instance's own when it is alone."""
        return self.instance_name if self.workers == 1 else f"{self.instance_name}.{number}"

    def worker_snapshot(self, number: int) -> Path | None:
        """Each worker has a snapshot file of its own: two writers of one file help nobody."""
        if self.snapshot_path is None or self.workers == 1:
            return self.snapshot_path
        return self.snapshot_path.with_name(f"{self.snapshot_path.name}.{number}")


class _Reader:
    """Collects problems instead of stopping at the first."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = environment
        self.problems: list[str] = []

    def text(self, name: str, default: str = "") -> str:
        return self.environment.get(name) or default

    def words(self, name: str) -> tuple[str, ...]:
        return tuple(part.strip() for part in self.text(name).split(",") if part.strip())

    def number(self, name: str, default: int, lowest: int, highest: int) -> int:
        text = self.text(name, str(default))
        if not text.isdigit() or not lowest <= int(text) <= highest:
            self.problems.append(f"{name} must be a number from {lowest} to {highest}")
            return default
        return int(text)

    def secrets(self, name: str) -> tuple[str, ...]:
        found = self.words(name)
        for place, secret in enumerate(found, start=1):
            if len(secret.encode()) < _MIN_SECRET_BYTES:
                self.problems.append(f"{name}: secret {place} has less than 32 bytes")
        return found


def upstream_variable(name: str) -> str:
    """The variable that holds the address of the monolith or of a service."""
    return f"{name.upper()}_URL"


def read_settings(environment: Mapping[str, str], manifest: Manifest) -> RouterSettings:
    """Settings for this manifest; raises RouterSettingsError with every problem."""
    read = _Reader(environment)
    jwt_secrets = read.secrets("JWT_SECRETS")
    settings = RouterSettings(
        host=read.text("HOST", "127.0.0.1"),
        port=read.number("PORT", 8080, 1, 65535),
        admin_host=read.text("ADMIN_HOST", "127.0.0.1"),
        admin_port=read.number("ADMIN_PORT", 9090, 1, 65535),
        manifest=Path(read.text("MANIFEST", "migration.toml")),
        shared_database_url=read.text("SHARED_DATABASE_URL"),
        snapshot_path=Path(text) if (text := read.text("SNAPSHOT_PATH")) else None,
        workers=read.number("WORKERS", manifest.router.workers, 1, 64),
        instance_name=read.text("INSTANCE_NAME", f"{manifest.router.app}@{socket.gethostname()}"),
        version=read.text("VERSION", "dev"),
        log_level=read.text("LOG_LEVEL", "info"),
        upstream_urls=_upstream_urls(read, manifest),
        trusted_proxies=read.words("TRUSTED_PROXIES") or manifest.router.trusted_proxies,
        allowed_origins=read.words("ALLOWED_ORIGINS"),
        admin_token=read.text("ADMIN_TOKEN"),
        redis_url=read.text("REDIS_URL"),
        override_secrets=read.secrets("OVERRIDE_SECRETS") or jwt_secrets,
        identity_secrets=read.secrets("IDENTITY_SECRETS") or jwt_secrets,
        token_issuers=_token_issuers(read, jwt_secrets),
        access_log_sample=_share(read, manifest.router.access_log_sample),
        max_clients=read.number("MAX_CLIENTS", ClientLimits().max_clients, 1, 1_000_000),
    )
    if not settings.shared_database_url:
        read.problems.append("SHARED_DATABASE_URL is missing: the control store is there")
    if settings.log_level not in {"debug", "info", "warning", "error"}:
        read.problems.append("LOG_LEVEL must be debug, info, warning or error")
    try:
        TrustedProxies(settings.trusted_proxies)
    except TrustError as error:
        read.problems.append(str(error))
    if read.problems:
        raise RouterSettingsError(tuple(read.problems))
    return settings


def _token_issuers(read: _Reader, jwt_secrets: tuple[str, ...]) -> TokenIssuers:
    found = TokenIssuers(
        jwt_secrets=jwt_secrets,
        jwt_issuer=read.text("JWT_ISSUER"),
        supabase_url=read.text("SUPABASE_URL").rstrip("/"),
        supabase_jwt_secrets=read.secrets("SUPABASE_JWT_SECRETS"),
        clerk_issuer=read.text("CLERK_ISSUER").rstrip("/"),
        clerk_jwt_key=read.text("CLERK_JWT_KEY"),
        clerk_authorized_parties=read.words("CLERK_AUTHORIZED_PARTIES"),
    )
    if found.clerk_issuer and not found.clerk_authorized_parties:
        read.problems.append("CLERK_AUTHORIZED_PARTIES is needed with CLERK_ISSUER")
    return found


def _upstream_urls(read: _Reader, manifest: Manifest) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for name in ("monolith", *manifest.services):
        variable = upstream_variable(name)
        url = read.text(variable)
        if not url:
            continue
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname or parts.path.strip("/") or parts.query:
            read.problems.append(f"{variable} must look like http://host:port")
        else:
            found[name] = url
    return found


def _share(read: _Reader, default: float) -> float:
    text = read.text("ACCESS_LOG_SAMPLE", str(default))
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0.0 <= share <= 1.0:
        read.problems.append("ACCESS_LOG_SAMPLE must be a number from 0 to 1")
        return default
    return share


def environment_settings(manifest: Manifest) -> RouterSettings:
    """Settings from the environment of this process."""
    return read_settings(os.environ, manifest)
