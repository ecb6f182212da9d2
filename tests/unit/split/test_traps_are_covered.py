"""Every known trap of an online split has a test that carries its number."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).resolve().parents[2]
#: Found in tools that came before, and in experiments.
TRAPS = set(range(1, 28))


def test_every_known_trap_has_a_test_named_after_it() -> None:
    named = {
        int(number)
        for file in TESTS.glob("*/split/test_*.py")
        for number in re.findall(r"^(?:async )?def test_trap_(\d\d)_", file.read_text(), re.M)
    }
    assert named == TRAPS
