"""The environment of every process of a stack, as pure data; the apps' own settings say what each name means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from migrate.stack.credentials import Credentials
from migrate.stack.databases import database_url
from migrate.stack.layout import Layout
from migrate.stack.topology import STAND_INS, AppProcess

HOST = "127.0.0.1"
# Every client of a local stack has the same address: the limits of the contract would stop a load at once.
# The windows are counted in Redis all the same.
LOCAL_RATE_LIMITS = "default=1000000,generate=1000000,public=1000000,sensitive=1000000"
# Settings that an operator may choose per `migrate up`; everything else of the stack is fixed.
CHOSEN_BY_OPERATOR = {
    "PROVIDERS": "reference",
    "RATE_LIMITS": LOCAL_RATE_LIMITS,
    "LOG_LEVEL": "info",
    "ALLOWED_ORIGINS": "http://localhost:3000,http://127.0.0.1:3000",
}


@dataclass(frozen=True, slots=True)
class StackFacts:
    """What the environments are made of. `moving` are the services that get a database of their own."""

    layout: Layout
    manifest_path: Path
    ports: Mapping[str, int]
    postgres_url: str  # any database of the server, with superuser rights
    redis_url: str
    rabbitmq_url: str
    project: str
    moving: tuple[str, ...]
    credentials: Credentials
    operator: Mapping[str, str]  # the environment of the command that starts the stack
    router_workers: int

    @property
    def public_url(self) -> str:
        return f"http://{HOST}:{self.ports['router']}"

    @property
    def shared_name(self) -> str:
        return self.project

    @property
    def own_names(self) -> dict[str, str]:
        """Service -> name of its own database."""
        return {service: f"{self.project}_{service}" for service in self.moving}

    @property
    def shared_url(self) -> str:
        return database_url(self.postgres_url, self.shared_name)

    @property
    def own_urls(self) -> dict[str, str]:
        return {
            service: database_url(self.postgres_url, name)
            for service, name in self.own_names.items()
        }

    @property
    def admin_ports(self) -> range:
        """Admin ports of the router's workers."""
        first = self.ports["router-admin"]
        return range(first, first + self.router_workers)

    def upstream_url(self, domain: str) -> str:
        return f"http://{HOST}:{self.ports[domain]}"


def app_environment(process: AppProcess, facts: StackFacts) -> dict[str, str]:
    """The variables of one process."""
    values = _common(process, facts)
    match process.kind, process.domain:
        case "router", _:
            values |= _router(facts)
        case _, "monolith":
            values |= {"DATABASE_URL": facts.shared_url, "OWNER_API_URL": facts.public_url}
        case _, service:
            # Empty, not absent: a DATABASE_URL of the operator's shell must not become a service's.
            own = facts.own_urls.get(service, "")
            values |= {"SHARED_DATABASE_URL": facts.shared_url, "DATABASE_URL": own}
            if service == "auth":  # it answers for the whole product, so it asks the others
                values |= _upstreams(facts)
    return values


def command_environment(facts: StackFacts) -> dict[str, str]:
    """What the `migrate` command itself needs: the control store, the databases, the router's admin port."""
    own = {f"DATABASE_URL_{name.upper()}": url for name, url in facts.own_urls.items()}
    return {
        "SHARED_DATABASE_URL": facts.shared_url,
        "REDIS_URL": facts.redis_url,
        "RABBITMQ_URL": facts.rabbitmq_url,
        "PUBLIC_BASE_URL": facts.public_url,
        "ROUTER_ADMIN_URL": f"http://{HOST}:{facts.admin_ports[0]}",
        "ROUTER_ADMIN_URLS": ",".join(f"http://{HOST}:{port}" for port in facts.admin_ports),
        "ADMIN_TOKEN": facts.credentials.admin_token,
        "JWT_SECRETS": facts.credentials.jwt_secret,
        **own,
    }


def _common(process: AppProcess, facts: StackFacts) -> dict[str, str]:
    secrets = facts.credentials
    data = facts.layout.data(process.domain)
    chosen = {name: facts.operator.get(name) or value for name, value in CHOSEN_BY_OPERATOR.items()}
    values = {
        **chosen,
        "HOST": HOST,
        "MANIFEST": str(facts.manifest_path),
        "PUBLIC_BASE_URL": facts.public_url,
        "REDIS_URL": facts.redis_url,
        "RABBITMQ_URL": facts.rabbitmq_url,
        "JWT_SECRETS": secrets.jwt_secret,
        "WEBHOOK_SECRETS_STRIPE": secrets.webhook_stripe,
        "WEBHOOK_SECRETS_REVENUECAT": secrets.webhook_revenuecat,
        "WEBHOOK_SECRETS_SUPABASE": secrets.webhook_supabase,
        "WEBHOOK_SECRETS_CLERK": secrets.webhook_clerk,
        "MEDIA_DIR": str(facts.layout.data("media") / "files"),  # both sides serve the same bytes
        "MAIL_DIR": str(data / "mail"),
        "PYTHONUNBUFFERED": "1",
        # As on Dokku: a process that is started again is the same instance in the control store.
        "DYNO": "worker.1" if process.kind == "worker" else "web.1",
    }
    if process.listens:
        values["PORT"] = str(facts.ports[process.domain])
    return values


def _upstreams(facts: StackFacts) -> dict[str, str]:
    """Where each app listens, by the variable that the router knows it by."""
    return {
        f"{name.upper()}_URL": facts.upstream_url(name)
        for name in facts.ports
        if not name.startswith(("router", STAND_INS))
    }


def _router(facts: StackFacts) -> dict[str, str]:
    return {
        "SHARED_DATABASE_URL": facts.shared_url,
        "ADMIN_PORT": str(facts.ports["router-admin"]),
        "ADMIN_TOKEN": facts.credentials.admin_token,
        "SNAPSHOT_PATH": str(facts.layout.data("router") / "control.json"),
        "WORKERS": str(facts.router_workers),
        "OVERRIDE_SECRETS": facts.credentials.override_secret,
        "IDENTITY_SECRETS": facts.credentials.identity_secret,
        **_upstreams(facts),
    }
