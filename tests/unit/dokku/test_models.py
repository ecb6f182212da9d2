"""The models of the manifest's Dokku part and of its phases."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from shared.manifest_dokku import AppDokku, ConfigSource, DokkuSection, Link, Store
from shared.manifest_phases import Phase, Ramp

EXAMPLE = Path(__file__).parent / "example.toml"


def example() -> dict[str, Any]:
    return tomllib.loads(EXAMPLE.read_text())


def test_the_example_is_valid_and_reads_back_as_written() -> None:
    raw = example()
    section = DokkuSection.model_validate(raw["dokku"])
    content = AppDokku.model_validate(raw["services"]["content"]["dokku"])
    phases = TypeAdapter(tuple[Phase, ...]).validate_python(raw["phases"])
    assert section.apps["router"].nginx["proxy-buffering"] == "off"
    assert section.upstream_url("content") == "http://content.web:8080"
    assert content.links[0].plugin_alias == "CONTENT_DB_ADMIN"
    assert [step.do for step in phases[0].steps][:3] == ["provision", "deploy", "take_domain"]


def test_upstream_address_depends_on_the_scheduler() -> None:
    raw = example()["dokku"] | {
        "scheduler": "k3s",
        "k3s": {"registry": "registry.example.com", "store_host": "10.0.0.5", "namespace": "live"},
    }
    assert DokkuSection.model_validate(raw).upstream_url("content") == "http://content-web.live:80"


def test_k3s_without_a_registry_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"k3s\.registry"):
        DokkuSection.model_validate(example()["dokku"] | {"scheduler": "k3s"})


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
        Link(store="chat-db", env="CHAT_DSN")


def test_an_unknown_key_is_refused() -> None:
    with pytest.raises(ValidationError, match="extra"):
        Store.model_validate({"kind": "redis", "image_version": "8.2", "imageversion": "8"})


def test_the_host_network_cannot_be_used() -> None:
    with pytest.raises(ValidationError, match="Docker's own"):
        Store(kind="redis", image_version="8.2", networks=("host",))


def test_a_ramp_only_rises() -> None:
    with pytest.raises(ValidationError, match="rise"):
        Ramp(do="ramp", service="chat", percents=(50, 5))
