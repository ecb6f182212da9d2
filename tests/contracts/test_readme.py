"""The README's generated parts are those of the code, and its links and paths exist."""

from __future__ import annotations

from pathlib import Path

from migrate.documentation import MARK, PARTS, regenerate

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def test_generated_parts_are_up_to_date() -> None:
    assert {found[2] for found in MARK.finditer(README)} == set(PARTS)
    assert regenerate(README) == README, "run `python -m migrate.documentation`"
