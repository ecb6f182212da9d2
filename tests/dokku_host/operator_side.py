"""The operator's side in tests: an environment with secrets, an applier, deploys without git."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from migrate.dokku.apply import Applier
from migrate.dokku.desired import DesiredHost, desired_host
from migrate.dokku.digests import HostDigests
from migrate.dokku.transport import Redactor, Transport
from migrate.dokku.values import resolve
from shared.manifest import Manifest
from tests.dokku_host.deploys import receive
from tests.dokku_host.direct import DirectTransport
from tests.dokku_host.host import FakeHost

ENVIRONMENT = {
    "JWT_SECRETS": "a-signing-secret-of-more-than-32-bytes",
    "ROUTER_ADMIN_TOKEN": "a-token-of-the-admin-port-of-the-router",
}
ROOT = Path(__file__).parents[2]


async def desired_for(manifest: Manifest) -> DesiredHost:
    values, missing = await resolve(manifest, ENVIRONMENT)
    return desired_host(manifest, values, missing)


async def applier_for(
    host: FakeHost, manifest: Manifest, transport: Transport | None = None, **more: Any
) -> Applier:
    """An applier for a manifest, straight into the host."""
    way = transport or DirectTransport(host)
    assert manifest.dokku is not None
    return Applier(
        way,
        await desired_for(manifest),
        digests=HostDigests(way, manifest.dokku.shared_store or ""),
        redact=Redactor([*ENVIRONMENT.values()]),
        **more,
    )


PROCFILE = "web: python -m web\nworker: python -m worker\nrelease: python -m release\n"


def deploy_directly(
    host: FakeHost, app: str, revision: str = "a" * 40, app_json: str = "{}"
) -> None:
    """A push of a small repository, without git."""
    files = {
        "dokku/Dockerfile": "FROM scratch\n",
        f"dokku/{app}/Procfile": PROCFILE,
        f"dokku/{app}/app.json": app_json,
    }
    receive(host, app, "refs/heads/main", revision, files.get)
