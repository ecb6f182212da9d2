"""Catalogue, manifest and released schemas agree."""

from __future__ import annotations

from shared.events.catalogue import shipped_catalogue
from shared.events.compatibility import breaking_changes, read_released, unreleased
from shared.manifest import load_manifest


def test_no_change_breaks_a_released_schema() -> None:
    assert breaking_changes(read_released(), shipped_catalogue().schemas) == ()


def test_every_schema_is_released() -> None:
    found = unreleased(read_released(), shipped_catalogue().schemas)
    assert found == (), "run `migrate events schemas release`"


def test_every_type_of_the_manifest_is_in_the_catalogue_and_has_one_publisher() -> None:
    services = load_manifest().services.values()
    published = [type_ for service in services for type_ in service.publishes]
    subscribed = {type_ for service in services for type_ in service.subscribes}
    assert sorted(published) == sorted(set(published))
    assert set(published) == set(shipped_catalogue().types)
    assert subscribed <= set(published)


def test_every_event_is_heard_by_somebody() -> None:
    services = load_manifest().services.values()
    subscribed = {type_ for service in services for type_ in service.subscribes}
    assert set(shipped_catalogue().types) - subscribed == set()
