from __future__ import annotations

from typing import Any, cast

from services.media.consumers import MediaEvents
from shared.manifest import load_manifest

NOTHING = cast(Any, None)


def test_every_event_that_the_manifest_subscribes_to_has_a_handler() -> None:
    handlers = MediaEvents(NOTHING, NOTHING, NOTHING).handlers()
    assert set(handlers) == set(load_manifest().services["media"].subscribes)
