"""What all sides of the suite share: servers, folders, secrets; and the settings of each app on them."""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints

from fastapi import FastAPI
from pydantic import SecretStr

from monolith.settings import Settings
from shared.events.worker import WorkerSettings
from shared.manifest import load_manifest
from shared.ratelimit.buckets import parse_rate_limits
from tests.support.people import SECRET, STANDARD_SECRET, STRIPE_SECRET

MANIFEST = load_manifest(Path("migration.toml"))
ORIGIN = "https://app.example.com"
PUBLIC_URL = "https://api.example.com"
#: Only these services answer their routes on the services' sides; none: all that exist.
CHOSEN = tuple(os.environ.get("CONTRACT_SERVICES", "").replace(",", " ").split())


@dataclass(frozen=True, slots=True)
class World:
    """Servers and folders; `rate_limits` by bucket, none means unlimited."""

    database_url: str
    redis_url: str
    rabbitmq_url: str
    media_dir: Path
    mail_dir: Path
    rate_limits: Mapping[str, int] = field(default_factory=dict)
    own_databases: Mapping[str, str] = field(default_factory=dict)  # DSN by service
    is_cut_off: bool = False  # some server is away on purpose: nothing will ever be ready

    def with_changes(self, **changes: Any) -> World:
        return replace(self, **changes)


def present_services() -> tuple[str, ...]:
    """Services of the manifest that have an app."""
    found = (name for name in MANIFEST.services if not CHOSEN or name in CHOSEN)
    return tuple(name for name in found if importlib.util.find_spec(f"services.{name}.app"))


def monolith_settings(world: World, owner_api_url: str | None = None) -> Settings:
    return Settings(
        database_url=world.database_url,
        jwt_secrets=(SECRET,),
        redis_url=world.redis_url,
        public_base_url=PUBLIC_URL,
        owner_api_url=owner_api_url,
        web_domain="example.com",
        allowed_origins=(ORIGIN,),
        return_hosts=("app.example.com",),
        rate_limits=world.rate_limits,
        webhook_secrets={
            "stripe": ("whsec_old", STRIPE_SECRET),
            "revenuecat": ("revenue-cat-value",),
            "supabase": (f"v1,{STANDARD_SECRET}",),
            "clerk": (STANDARD_SECRET,),
        },
        media_dir=world.media_dir,
        database_pool_size=6,
    )


def build_service(name: str, world: World, owner_api_url: str) -> FastAPI:
    """The service's own app; its settings are read as its process reads them."""
    module = importlib.import_module(f"services.{name}.app")
    kind = get_type_hints(module.build)["settings"]
    app: FastAPI = module.build(kind(**_values(name, world, owner_api_url)), MANIFEST)
    return app


def worker_settings(name: str, world: World, owner_api_url: str) -> WorkerSettings:
    """Settings of the service's worker, of its own kind where it has one."""
    module = importlib.import_module(f"services.{name}.settings")
    kind = _own_worker_settings(module)
    return kind(**_values(name, world, owner_api_url))


def _own_worker_settings(module: ModuleType) -> type[WorkerSettings]:
    for value in vars(module).values():
        if isinstance(value, type) and issubclass(value, WorkerSettings):
            found = value
            if found is not WorkerSettings:
                return found
    return WorkerSettings


def _values(name: str, world: World, owner_api_url: str) -> dict[str, Any]:
    """Fields that a service does not know are ignored by its settings."""
    limits = ",".join(f"{bucket}={count}" for bucket, count in world.rate_limits.items())
    own = world.own_databases.get(name)
    return {
        "shared_database_url": SecretStr(world.database_url),
        "database_url": SecretStr(own) if own else None,
        "redis_url": SecretStr(world.redis_url),
        "rabbitmq_url": SecretStr(world.rabbitmq_url),
        "jwt_secrets": (SecretStr(SECRET),),
        "public_base_url": PUBLIC_URL,
        "owner_api_url": owner_api_url,
        "web_domain": "example.com",
        "allowed_origins": (ORIGIN,),
        "return_hosts": ("app.example.com",),
        "rate_limits": parse_rate_limits(limits or "off"),
        "webhook_secrets_stripe": (SecretStr("whsec_old"), SecretStr(STRIPE_SECRET)),
        "webhook_secrets_revenuecat": (SecretStr("revenue-cat-value"),),
        "webhook_secrets_supabase": (SecretStr(f"v1,{STANDARD_SECRET}"),),
        "webhook_secrets_clerk": (SecretStr(STANDARD_SECRET),),
        "media_dir": world.media_dir,
        "mail_dir": world.mail_dir,
        "drain_seconds": 5.0,
    }
