"""Opens the database of one service: watcher, pools and grants in one piece; knows no table by name."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from shared.control.instances import InstanceInfo
from shared.control.watch import ControlWatcher
from shared.manifest import Manifest
from shared.placement.database import Database
from shared.placement.errors import OwnershipError
from shared.placement.ownership import TableGrants
from shared.placement.pools import PoolSettings, ServiceGrants, open_pools
from shared.placement.source import WatchedPlacement
from shared.settings import AppSettings

#: Tables of the control store that services read: who processes which webhooks.
CONTROL_READS = ("strangler.webhook_owners",)


def service_grants(manifest: Manifest, service: str) -> ServiceGrants:
    """What the manifest lets a service touch, per pool. Raises OwnershipError for a stranger."""
    entry = manifest.services.get(service)
    if entry is None:
        raise OwnershipError((f"{service} is not a service of the manifest",), "")
    platform = manifest.platform
    mine = TableGrants.of([*entry.tables, *platform.everywhere_tables])
    if entry.placement == "shared":
        everything = [*mine.writes, *platform.shared_tables]
        return ServiceGrants(shared=TableGrants.of(everything, [*entry.reads, *CONTROL_READS]))
    return ServiceGrants(
        shared=TableGrants.of(platform.shared_tables, [*entry.reads, *CONTROL_READS]),
        own=mine,
        home=mine,
    )


def instance_info(service: str, kind: str) -> InstanceInfo:
    """Who this process is; the same after a restart of the same container or process slot."""
    host = socket.gethostname()
    slot = os.environ.get("DYNO") or str(os.getpid())  # Dokku: web.1, worker.2
    return InstanceInfo(f"{host}/{service}/{kind}/{slot}", kind, service, host, os.getpid())


@asynccontextmanager
async def open_service_database(
    service: str,
    settings: AppSettings,
    manifest: Manifest,
    *,
    kind: str = "service",
    pool: PoolSettings | None = None,
    snapshot: Path | None = None,
    on_commit: Callable[[], None] | None = None,
) -> AsyncIterator[Database]:
    """The service's database while the block runs; starts although PostgreSQL is down.

    `kind` is `service` or `worker`, as the instance shows up in `migrate instances`.
    """
    shared_dsn = settings.shared_database_url.get_secret_value()
    watcher = ControlWatcher(shared_dsn, instance=instance_info(service, kind), snapshot=snapshot)
    own_dsn = settings.database_url.get_secret_value() if settings.database_url else None
    entry = manifest.services.get(service)
    if entry is not None and entry.placement == "shared":
        own_dsn = None
    pools = await open_pools(
        f"{service}/{kind}",
        shared_dsn=shared_dsn,
        own_dsn=own_dsn,
        settings=pool,
        grants=service_grants(manifest, service),
    )
    try:
        await watcher.start()
        yield Database(service, pools, WatchedPlacement(watcher), on_commit=on_commit)
    finally:
        await watcher.stop()
        await pools.close()
