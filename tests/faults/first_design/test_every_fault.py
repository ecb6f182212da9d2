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
def _functions(file: str) -> frozenset[str]:
    tree = ast.parse((ROOT / file).read_text("utf-8"))
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, kinds))


@pytest.mark.parametrize("fault", FAULTS)
def test_the_tests_of_a_fault_exist(fault: str) -> None:
    for test in FAULTS[fault]:
        file, _, name = test.partition("::")
        assert name in _functions(file), f"{fault}: {test} is gone; name the one in its place"
