"""What the apps read and how they end agrees with what the manifest gives them on Dokku."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest
from pydantic import SecretStr
from pydantic_settings import BaseSettings

from migrate.dokku.desired import app_models, config_sources
from monolith.__main__ import GRACE_SECONDS
from shared.events.worker import WorkerSettings
from shared.manifest import load_manifest
from shared.settings import AppSettings

ROOT = Path(__file__).parents[3]
MANIFEST = load_manifest(ROOT / "migration.toml")
MODELS = app_models(MANIFEST)
BUILT = tuple(
    name for name in MANIFEST.services if (ROOT / "services" / name / "settings.py").exists()
)
#: Time that a process needs after its last answer, in seconds.
CLOSING_SECONDS = 3
#: Of tests and stand-ins, never of production.
NOT_LIVE = re.compile(r"_(BASE_URL|API_BASE)$")


def given(app: str) -> set[str]:
    """Variables that an app can have: of config and of links, common ones included."""
    assert MANIFEST.dokku is not None
    links = (*MODELS[app].links, *(MANIFEST.dokku.common_links if MODELS[app].common else ()))
    return set(config_sources(MANIFEST)[app]) | {link.env for link in links}


def settings_of(service: str) -> set[type[BaseSettings]]:
    module = importlib.import_module(f"services.{service}.settings")
    kinds = {v for v in vars(module).values() if isinstance(v, type)}
    return {kind for kind in kinds if issubclass(kind, BaseSettings)}


def secrets_of(kind: type[BaseSettings]) -> set[str]:
    """Variables whose value is secret: they have no default that could be right."""
    return {
        name.upper()
        for name, field in kind.model_fields.items()
        if SecretStr.__name__ in repr(field.annotation)
    }


@pytest.mark.parametrize("service", BUILT)
def test_every_secret_that_a_service_reads_has_a_source(service: str) -> None:
    app = MANIFEST.services[service].app
    kinds = settings_of(service) | {AppSettings, WorkerSettings}
    wanted = set().union(*(secrets_of(kind) for kind in kinds))
    if MANIFEST.services[service].placement == "shared":
        wanted -= {"DATABASE_URL"}  # its tables stay in the shared database
    missing = wanted - given(app)
    webhooks = {name for name in missing if name.startswith("WEBHOOK_SECRETS_")}
    receives = {
        f"WEBHOOK_SECRETS_{route.name.rpartition('webhook_')[2].upper()}"
        for route in MANIFEST.services[service].routes
        if route.kind == "webhook"
    }
    assert not (missing - webhooks) | (webhooks & receives)


def test_every_variable_that_the_old_api_needs_in_production_has_a_source() -> None:
    texts = [path.read_text() for path in (ROOT / "monolith").rglob("*.py")]
    found = {
        name
        for text in texts
        for name in re.findall(r'(?:env|keys)(?:\.get\(|\[)"([A-Z][A-Z0-9_]+)"', text)
    }
    #: Their defaults are right on Dokku: ports and revisions are Dokku's, the rest is tuning.
    defaults = {
        "PORT", "GIT_REV", "VERSION", "RATE_LIMITS", "WEB_DOMAIN", "RETURN_HOSTS", "MAIL_DIR",
        "DATABASE_POOL_SIZE", "EVENTS_EXCHANGE", "MONOLITH_EVENTS_QUEUE", "DOMAIN_HEALTH_URLS",
    }  # fmt: skip
    missing = found - given(MANIFEST.monolith.app) - defaults
    assert not {name for name in missing if not NOT_LIVE.search(name)}
    for route in (r for s in MANIFEST.services.values() for r in s.routes if r.kind == "webhook"):
        provider = route.name.rpartition("webhook_")[2].upper()
        assert f"WEBHOOK_SECRETS_{provider}" in given(MANIFEST.monolith.app)


def drain_seconds(app: str) -> float:
    """The longest time that a process of the app may take to end."""
    if app == MANIFEST.router.app:
        return MANIFEST.router.drain_seconds
    if app == MANIFEST.monolith.app:
        return GRACE_SECONDS
    drain = AppSettings.model_fields
    return float(drain["drain_seconds"].default + drain["drain_lead_seconds"].default)


@pytest.mark.parametrize("app", [name for name in MODELS if name != "operator"])
def test_no_app_is_killed_while_it_drains(app: str) -> None:
    """After a deploy the old containers have wait-to-retire, after a stop they have the stop timeout."""
    model = MODELS[app]
    needed = drain_seconds(app) + CLOSING_SECONDS
    assert model.stop_timeout_seconds >= needed
    assert model.wait_to_retire_seconds >= needed


def test_apps_that_show_the_same_files_mount_the_same_folder() -> None:
    users = {app for app in MODELS if "MEDIA_DIR" in given(app)}
    assert users == {"api-monolith", "media-service", "chat-service"}
    for app in users:
        source = config_sources(MANIFEST)[app]["MEDIA_DIR"]
        assert (source.value, ["media-files"]) == (
            MODELS[app].storage[0].container_dir, [mount.name for mount in MODELS[app].storage],
        )  # fmt: skip
