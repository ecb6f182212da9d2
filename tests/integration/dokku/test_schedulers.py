"""The same manifest on many machines (k3s), and a manifest read back from a live host."""

from __future__ import annotations

import tomllib
from typing import Any

from migrate.dokku.change import Effect, NoteKind
from migrate.dokku.export import export
from migrate.dokku.script import write_script
from shared.manifest import Manifest
from shared.manifest_dokku import DokkuSection
from tests.dokku_host.direct import DirectTransport
from tests.dokku_host.host import FakeHost
from tests.dokku_host.operator_side import ENVIRONMENT, applier_for, deploy_directly, desired_for

APPS = ("router", "chat-service")
K3S = {
    "registry_user": "deployer",
    "registry_password": {"env": "JWT_SECRETS"},
    "registry": "registry.example.com",
    "store_host": "10.0.0.5",
    "namespace": "live",
    "image_repo_template": "scenextras/{{ .AppName }}",
}


def on_k3s(manifest: Manifest, **changes: Any) -> Manifest:
    """The shipped manifest with another scheduler, and stores that the nodes can reach."""
    assert manifest.dokku is not None
    raw = manifest.dokku.model_dump(by_alias=True)
    for number, store in enumerate(raw["stores"].values()):
        store["expose"] = [f"10.0.0.5:{15000 + number}"]
    raw |= {"scheduler": "k3s", "k3s": K3S} | changes
    return manifest.model_copy(update={"dokku": DokkuSection.model_validate(raw)})


async def test_a_cluster_gets_registry_addresses_and_no_links(
    host: FakeHost, manifest: Manifest
) -> None:
    cluster = on_k3s(manifest)
    applier = await applier_for(host, cluster)
    outcome = await applier.apply(APPS)
    assert outcome.remaining.changes == ()
    router, chat = host.state.apps["router"], host.state.apps["chat-service"]
    assert router.config["CHAT_URL"] == "http://chat-service-web.live:80"
    assert "@10.0.0.5:15003/chat_db" in chat.config["DATABASE_URL"]
    assert chat.config["REDIS_URL"].startswith("redis://:")
    assert "@10.0.0.5:15006" in chat.config["REDIS_URL"]
    assert "@10.0.0.5:15007/" in chat.config["RABBITMQ_URL"]
    lines = host.changes()
    for line in (
        "scheduler:set chat-service selected k3s",
        "registry:set chat-service server registry.example.com",
        "registry:set chat-service push-on-release true",
        "scheduler-k3s:set chat-service namespace live",
        "scheduler-k3s:set router letsencrypt-email-prod ops@scenextras.com",
        "registry:login --global --password-stdin registry.example.com deployer",
        "postgres:expose chat-db 10.0.0.5:15003",
    ):
        assert line in lines
    assert not [line for line in lines if ":link " in line or "network:set" in line]
    assert host.state.registries == {"registry.example.com": ENVIRONMENT["JWT_SECRETS"]}
    assert not host.refused


async def test_the_difference_between_schedulers_is_visible_in_the_plan(
    host: FakeHost, manifest: Manifest
) -> None:
    """A live single host whose manifest now says k3s: what changes, and that containers are replaced."""
    applier = await applier_for(host, manifest)
    await applier.apply(APPS)
    for app in APPS:
        deploy_directly(host, app)
    await applier.apply(APPS)
    plan = await (await applier_for(host, on_k3s(manifest))).plan(APPS)
    keys = {(c.subject, d.key, d.before, d.after) for c in plan.changes for d in c.differences}
    assert ("app chat-service", "scheduler.selected", "docker-local", "k3s") in keys
    assert (
        "app router",
        "config.CHAT_URL",
        "http://chat-service.web:8080",
        "http://chat-service-web.live:80",
    ) in keys
    assert ("app chat-service", "network.attach-post-deploy", "internal", "(unset)") in keys
    assert plan.restarted() == set(APPS)
    assert plan.effect is Effect.RESTART


async def test_storage_of_a_cluster_is_a_claim_with_a_size(manifest: Manifest) -> None:
    cluster = on_k3s(manifest)
    assert cluster.dokku is not None
    router = cluster.dokku.apps["router"]
    mount = router.storage[0].model_copy(update={"size": "1Gi"})
    apps = {**cluster.dokku.apps, "router": router.model_copy(update={"storage": (mount,)})}
    sized = cluster.model_copy(update={"dokku": cluster.dokku.model_copy(update={"apps": apps})})
    text = write_script(await desired_for(sized), ("router",))
    assert "storage:create router-state --scheduler k3s --size 1Gi" in text


async def test_a_live_host_is_written_down_as_a_manifest(
    host: FakeHost, manifest: Manifest
) -> None:
    applier = await applier_for(host, manifest)
    await applier.apply(APPS)
    for app in APPS:
        deploy_directly(host, app)
    await applier.apply(APPS)
    text = await export(DirectTransport(host), "dokku.example.com")
    section = DokkuSection.model_validate(tomllib.loads(text)["dokku"])
    assert section.host == "dokku.example.com"
    assert section.network == "internal"
    assert set(section.apps) == set(APPS)
    router = section.apps["router"]
    assert (router.public, router.domains) == (True, ("api.scenextras.com",))
    assert router.nginx["proxy-buffering"] == "off"
    assert router.wait_to_retire_seconds == 120
    assert section.apps["chat-service"].processes["web"].memory == "512m"
    assert section.stores["chat-db"].image_version == "17.6"
    assert {link.env for link in section.apps["chat-service"].links} == {
        "REDIS_URL",
        "RABBITMQ_URL",
    }
    for app in host.state.apps.values():
        for key, value in app.config.items():
            if len(value) > 12 and key in {"JWT_SECRETS", "ADMIN_TOKEN", "DATABASE_URL"}:
                assert value not in text


async def test_a_backup_schedule_is_set_and_kept(host: FakeHost, manifest: Manifest) -> None:
    assert manifest.dokku is not None
    raw = manifest.dokku.model_dump(by_alias=True)
    raw["stores"]["scenextras-db"]["backup"] = {"schedule": "0 3 * * *", "bucket": "backups"}
    planned = manifest.model_copy(update={"dokku": DokkuSection.model_validate(raw)})
    applier = await applier_for(host, planned)
    outcome = await applier.apply(("payment-service",))
    assert outcome.remaining.is_empty
    store = host.state.stores["postgres", "scenextras-db"]
    assert store.backup.startswith(
        "0 3 * * * dokku /usr/bin/dokku postgres:backup scenextras-db backups"
    )
    store.backup = store.backup.replace("0 3", "0 5")
    plan = await applier.plan(("payment-service",))
    assert [str(one) for one in plan.commands] == [
        "dokku postgres:backup-schedule scenextras-db '0 3 * * *' backups"
    ]


async def test_a_suspended_task_is_resumed(host: FakeHost, manifest: Manifest) -> None:
    applier = await applier_for(host, manifest)
    await applier.apply(("payment-service",))
    deploy_directly(host, "payment-service")
    app = host.state.apps["payment-service"]
    app.app_json = {
        "cron": [{"command": "python -m services.payments.sweep", "schedule": "0 * * * *"}]
    }
    host.execute(["cron:suspend", "payment-service", "task0"])
    host.log.clear()
    outcome = await applier.apply(("payment-service",))
    assert "cron:resume payment-service task0" in host.changes()
    assert outcome.remaining.is_empty


async def test_a_formation_forbids_to_scale_and_says_so(host: FakeHost, manifest: Manifest) -> None:
    applier = await applier_for(host, manifest)
    await applier.apply(("payment-service",))
    host.state.apps["payment-service"].app_json = {"formation": {"web": {"quantity": 3}}}
    host.state.apps["payment-service"].scale = {"web": 3, "worker": 1}
    plan = await applier.plan(("payment-service",))
    (note,) = plan.blocked
    assert note.kind is NoteKind.BLOCKED
    assert "formation" in note.text


async def test_a_newer_minor_version_is_an_announced_upgrade(
    host: FakeHost, manifest: Manifest
) -> None:
    applier = await applier_for(host, manifest)
    await applier.apply(("payment-service",))
    deploy_directly(host, "payment-service")
    store = host.state.stores["postgres", "scenextras-db"]
    store.version = "postgres:17.2"
    plan = await applier.plan(("payment-service",))
    assert plan.effect is Effect.INTERRUPT
    assert [str(one) for one in plan.commands] == [
        "dokku postgres:upgrade scenextras-db --image-version 17.6",
        "dokku ps:restart payment-service",
    ]
    outcome = await applier.apply(("payment-service",))
    assert outcome.remaining.is_empty
    assert store.version == "postgres:17.6"


async def test_exposed_ports_follow_the_manifest(host: FakeHost, manifest: Manifest) -> None:
    cluster = on_k3s(manifest)
    applier = await applier_for(host, cluster)
    await applier.apply(("payment-service",))
    host.state.stores["redis", "scenextras-cache"].exposed = ["6379->10.0.0.5:9999"]
    plan = await applier.plan(("payment-service",))
    assert [str(one) for one in plan.commands] == [
        "dokku redis:unexpose scenextras-cache",
        "dokku redis:expose scenextras-cache 10.0.0.5:15006",
    ]
    assert (await applier.apply(("payment-service",))).remaining.is_empty
