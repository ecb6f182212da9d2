"""The last good control state in a file, replaced atomically, so that a router can start without PostgreSQL."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path

from shared.control.model import ControlState
from shared.control.rows import state_from_json, state_to_json

#: Layout of the file; another number is refused, never guessed at.
FORMAT = 1


class SnapshotError(ValueError):
    """The snapshot file cannot be used; the message says why."""


def write_snapshot(path: Path, state: ControlState) -> None:
    """Write to a temporary file beside `path`, flush it to disk, and rename it into place."""
    body = json.dumps(state_to_json(state), sort_keys=True)
    document = json.dumps(
        {"format": FORMAT, "sha256": hashlib.sha256(body.encode()).hexdigest(), "state": body}
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".new")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(document)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read_snapshot(path: Path) -> ControlState | None:
    """The state in the file, None without a file; raises SnapshotError on a damaged one."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise SnapshotError(f"{path} cannot be read: {type(error).__name__}") from error
    try:
        if document["format"] != FORMAT:
            raise SnapshotError(f"{path} has format {document['format']}, not {FORMAT}")
        body: str = document["state"]
        if hashlib.sha256(body.encode()).hexdigest() != document["sha256"]:
            raise SnapshotError(f"{path} is damaged: its checksum does not match")
        return state_from_json(json.loads(body))
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, SnapshotError):
            raise
        raise SnapshotError(f"{path} is not a snapshot: {type(error).__name__}") from error
