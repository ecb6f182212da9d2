from __future__ import annotations

from typing import Any, cast

from services.community.consumers import CommunityEvents
from shared.manifest import load_manifest

NOTHING = cast(Any, None)


def test_every_event_that_the_manifest_subscribes_to_has_a_handler() -> None:
    handlers = CommunityEvents(NOTHING, NOTHING).handlers()
    assert set(handlers) == set(load_manifest().services["community"].subscribes)
