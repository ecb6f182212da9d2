"""No key of the manifest's Dokku part is forgotten: each has a drift that is mended, or a reason not to."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from shared.manifest_dokku import (
    AppDokku,
    Backup,
    ConfigSource,
    CronTask,
    DockerOption,
    DokkuSection,
    K3s,
    Link,
    Mount,
    Process,
    Rights,
    Store,
)
from tests.integration.dokku.drifts import DRIFTS, MORE

#: Which drift proves that a key of the manifest is watched; or, after `-`, why no host can differ in it.
WATCHED: dict[type[BaseModel], dict[str, str]] = {
    AppDokku: {
        "public": "the proxy off",
        "domains": "domains",
        "letsencrypt": "certificate",
        "maintenance": "maintenance",
        "processes": "scale up",
        "port": "ports",
        "attach": "network",
        "nginx": "nginx",
        "links": "unlinked",
        "common": "a lost variable",
        "config": "a plain variable",
        "storage": "storage",
        "docker_options": "a Docker option",
        "cron": "a suspended task",
        "wait_to_retire_seconds": "retire wait",
        "stop_timeout_seconds": "stop timeout",
        "restart_policy": "restart policy",
        "paths": "- says what a deploy compares",
        "uses_shared": "- says what a deploy compares",
        "deploy_after": "- an order of deploys",
    },
    Process: {"quantity": "scale up", "memory": "memory", "cpu": "an extra limit"},
    Link: {
        "store": "unlinked",
        "env": "a lost store address",
        "role": "role made superuser",
        "rights": "right taken",
        "alias": "a superuser address",
        "querystring": "a query in an address",
        "if_exists": "- whether a link is made",
    },
    Rights: {
        "schema_name": "right taken",
        "tables": "a table of another owner",
        "rights": "right taken",
        "functions": "a function",
    },
    Mount: {
        "name": "storage",
        "container_dir": "storage",
        "host_dir": "- acts when the entry is made",
        "chown": "- acts when the entry is made",
        "mode": "- acts when the entry is made",
        "size": "- acts when the entry is made",
    },
    DockerOption: {"phase": "a Docker option", "option": "a Docker option"},
    CronTask: {"schedule": "- app.json decides; a plan says it", "command": "- app.json decides"},
    Store: {
        "kind": "- two kinds are two stores",
        "image_version": "a newer image",
        "image": "- acts when the store is made",
        "settings": "a server setting",
        "networks": "store network",
        "memory_mb": "- Dokku does not report it; a hash is kept",
        "shm_size": "- Dokku does not report it; a hash is kept",
        "custom_env": "- Dokku does not report it; a hash is kept",
        "expose": "an exposed port",
        "backup": "a backup",
    },
    Backup: {"schedule": "a backup", "bucket": "a backup", "use_iam": "a backup"},
    ConfigSource: {
        "value": "a plain variable",
        "env": "a secret",
        "file": "a secret",
        "command": "a secret",
        "upstream": "an address of an app",
        "optional": "- whether a variable is set",
    },
    DokkuSection: {
        "host": "- where the host is",
        "user": "- where the host is",
        "ssh_port": "- where the host is",
        "scheduler": "scheduler",
        "network": "a network",
        "deploy_branch": "deploy branch",
        "dockerfile": "Dockerfile",
        "container_port": "ports",
        "letsencrypt_email": "letsencrypt account",
        "letsencrypt_server": "the authority",
        "image_paths": "- says what a deploy compares",
        "shared_paths": "- says what a deploy compares",
        "deploy_parallel": "- an order of deploys",
        "common_config": "a lost variable",
        "common_links": "unlinked",
        "shared_store": "- which store it is",
        "shared_rights": "a function",
        "operator": "- which app it is",
        "stores": "store stopped",
        "apps": "stopped",
        "k3s": "- another scheduler",
    },
    K3s: dict.fromkeys(K3s.model_fields, "- another scheduler"),
}


@pytest.mark.parametrize("model", WATCHED, ids=lambda model: model.__name__)
def test_every_key_of_the_manifest_has_a_drift_or_a_reason(model: type[BaseModel]) -> None:
    known = {drift.name for drift in (*DRIFTS, *MORE)}
    assert set(WATCHED[model]) == set(model.model_fields)
    for key, name in WATCHED[model].items():
        assert name.startswith("- ") or name in known, (key, name)
