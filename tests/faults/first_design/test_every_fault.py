"""No fault of the first design is without a test that it would fail."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

from tests.faults.first_design.faults import FAULTS

ROOT = Path(__file__).parents[3]
#: How many faults each part of the first design has.
COUNTS = {"A": 13, "E": 13, "C": 14, "L": 23, "P": 27}


def test_all_faults_are_listed() -> None:
    expected = [
        f"{part}{number}" for part, count in COUNTS.items() for number in range(1, count + 1)
    ]
    assert list(FAULTS) == expected


@cache
def _functions(place: str) -> frozenset[str]:
    """Names of all functions of a file, or of the tests in a folder."""
    path = ROOT / place
    files = sorted(path.glob("test_*.py")) if path.is_dir() else [path]
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    return frozenset(
        node.name
        for file in files
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, kinds)
    )


@pytest.mark.parametrize("fault", FAULTS)
def test_the_tests_of_a_fault_exist(fault: str) -> None:
    for test in FAULTS[fault]:
        place, _, name = test.partition("::")
        assert name in _functions(place), f"{fault}: {test} is gone; name the one in its place"
