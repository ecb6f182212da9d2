"""The models of the manifest's Dokku part and of its phases, and what they refuse."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from migrate.dokku.desired import UnknownAppError, chosen, deploy_order, desired_host
from shared.errors import OperatorError
from shared.manifest import Manifest, load_manifest
from shared.manifest_dokku import AppDokku, ConfigSource, DokkuSection, Link, Store
from shared.manifest_phases import Phase, Ramp


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    return load_manifest()


def section(manifest: Manifest, **changes: Any) -> DokkuSection:
    assert manifest.dokku is not None
    return DokkuSection.model_validate(manifest.dokku.model_dump(by_alias=True) | changes)


def test_every_app_of_the_phases_is_described(manifest: Manifest) -> None:
    known = set(chosen(manifest))
    named = {
        app
        for phase in manifest.phases
        for step in phase.steps
        for app in (*getattr(step, "apps", ()),)
    }
    assert named <= known
    assert {service.app for service in manifest.services.values()} <= named


def test_the_monolith_is_deployed_before_what_uses_its_tables(manifest: Manifest) -> None:
    order = chosen(manifest)
    assert order.index("api-monolith") < min(order.index("chat-service"), order.index("router"))


def test_upstream_address_depends_on_the_scheduler(manifest: Manifest) -> None:
    assert section(manifest).upstream_url("chat-service") == "http://chat-service.web:8080"
    k3s = {"registry": "registry.example.com", "store_host": "10.0.0.5", "namespace": "live"}
    assert (
        section(manifest, scheduler="k3s", k3s=k3s).upstream_url("chat-service")
        == "http://chat-service-web.live:80"
    )


def test_k3s_without_a_registry_is_refused(manifest: Manifest) -> None:
    with pytest.raises(ValidationError, match="registry and k3s"):
        section(manifest, scheduler="k3s")


def test_rights_hold_the_real_names_of_tables(manifest: Manifest) -> None:
    host = desired_host(manifest, {})
    rights = host.apps["chat-service"].rights["scenextras-db"]
    tables = {table for row in rights for table in row.tables}
    assert {"conversations", "users", "idempotency_keys"} <= tables
    assert not any(table.startswith("@") for table in tables)


def test_a_name_that_is_no_app_is_refused(manifest: Manifest) -> None:
    with pytest.raises(UnknownAppError, match="chat-service"):
        chosen(manifest, ["chat"])


def test_a_circle_of_deploys_is_refused() -> None:
    models = {"a": AppDokku(deploy_after=("b",)), "b": AppDokku(deploy_after=("a",))}
    with pytest.raises(OperatorError, match="circle: a after b after a"):
        deploy_order(models)


def test_an_alias_inside_another_one_is_refused(manifest: Manifest) -> None:
    """The plugin finds a taken alias by substring, and would refuse the second link."""
    links = (
        Link(store="scenextras-db", env="DATABASE_URL"),
        Link(store="content-db", env="CONTENT_DATABASE_URL"),
    )
    assert manifest.dokku is not None
    apps = {"x": AppDokku(links=links, common=False)}
    bad = manifest.model_copy(
        update={"dokku": manifest.dokku.model_copy(update={"apps": apps, "operator": None})}
    )
    with pytest.raises(OperatorError, match="CONTENT_DATABASE_URL contains it"):
        desired_host(bad, {})


def test_a_config_source_is_exactly_one() -> None:
    with pytest.raises(ValidationError, match="exactly one"):
        ConfigSource(value="a", env="A")
    with pytest.raises(ValidationError, match="exactly one"):
        ConfigSource()
    assert ConfigSource(env="A").is_secret
    assert not ConfigSource(value="").is_secret


def test_dokku_s_own_variables_are_refused() -> None:
    with pytest.raises(ValidationError, match="PORT belongs to Dokku"):
        AppDokku.model_validate({"config": {"PORT": "8080"}})


def test_an_internal_app_has_no_domain() -> None:
    with pytest.raises(ValidationError, match="public = true"):
        AppDokku(domains=("a.example.com",))


def test_an_alias_that_cannot_make_the_variable_is_refused() -> None:
    with pytest.raises(ValidationError, match="always appends _URL"):
        Link(store="chat-db", env="CHAT_DSN", alias="CHAT")


def test_a_variable_that_no_alias_can_make_is_set_beside_the_link() -> None:
    link = Link(store="chat-db", env="DATABASE_URL_CHAT")
    assert (link.plugin_alias, link.sets_itself) == ("CHAT_DB_ADMIN", False)
    assert Link(store="chat-db", env="DATABASE_URL").sets_itself
    assert not Link(store="chat-db", env="DATABASE_URL", role="chat").sets_itself


def test_an_unknown_key_is_refused() -> None:
    with pytest.raises(ValidationError, match="extra"):
        Store.model_validate({"kind": "redis", "image_version": "8.2", "imageversion": "8"})


def test_the_host_network_cannot_be_used() -> None:
    with pytest.raises(ValidationError, match="Docker's own"):
        Store(kind="redis", image_version="8.2", networks=("host",))


def test_a_ramp_only_rises() -> None:
    with pytest.raises(ValidationError, match="rise"):
        Ramp(do="ramp", service="chat", percents=(50, 5))


def test_a_phase_comes_after_earlier_ones_only() -> None:
    raw = {
        "number": 1, "name": "x", "summary": "", "after": [2],
        "steps": [{"do": "flag", "service": "chat", "percent": 0}],
        "criteria": [{"check": "http", "path": "/"}],
    }  # fmt: skip
    with pytest.raises(ValidationError, match="earlier phases"):
        Phase.model_validate(raw)
