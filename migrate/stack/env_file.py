"""Environment files: `KEY=value` lines with shell quoting, readable by their owner alone."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path


def write_env_file(path: Path, values: Mapping[str, str]) -> None:
    """Write mode 0600, by rename, so that a reader never sees half a file."""
    text = "".join(f"{key}={shlex.quote(value)}\n" for key, value in sorted(values.items()))
    write_private(path, text)


def read_env_file(path: Path) -> dict[str, str]:
    """Read back what `write_env_file` wrote."""
    pairs = shlex.split(path.read_text(), comments=True)
    return dict(pair.split("=", 1) for pair in pairs)


def write_private(path: Path, text: str) -> None:
    """Replace a file by one of mode 0600 in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    draft.replace(path)
