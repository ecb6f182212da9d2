"""Every SQL text in a service's code keeps to the tables that the manifest gives to that service.

A service whose tables move may not join them with tables that stay: one statement is for one
database. The guarded connections refuse the same at run time; this finds it without running.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pglast
import pytest

from shared.manifest import load_manifest
from shared.placement.ownership import table_use, violations
from shared.placement.service import service_grants

SERVICES = Path("services")
#: The beginning of a statement; prose in docstrings does not look like this.
STATEMENT = re.compile(
    r"\s*(SELECT\s|INSERT\s+INTO\s|UPDATE\s+\w+\s+SET\s|DELETE\s+FROM\s|WITH\s+\w+\s.*\bAS\b|MERGE\s+INTO\s|TRUNCATE\s)",
    re.DOTALL,
)
#: Folders with statements that run with other rights: schemas are made by migrations.
EXEMPT = {"migrations.py"}

MANIFEST = load_manifest()
PRESENT = [name for name in MANIFEST.services if (SERVICES / name).is_dir()]


def statements(folder: Path) -> Iterator[tuple[str, int, str]]:
    """(file, line, SQL) of every literal that is a whole statement."""
    for path in sorted(folder.rglob("*.py")):
        if path.name in EXEMPT:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        parts = {
            id(part)
            for node in ast.walk(tree)
            if isinstance(node, ast.JoinedStr)
            for part in node.values
        }
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Constant) and isinstance(node.value, str)):
                continue
            if id(node) not in parts and STATEMENT.match(node.value) and _is_whole(node.value):
                yield str(path), node.lineno, node.value


def _is_whole(sql: str) -> bool:
    """Whether a literal is a statement by itself; the guard sees the others put together."""
    try:
        table_use(sql)
    except pglast.parser.ParseError:
        return False
    return True


def test_there_is_something_to_check() -> None:
    assert PRESENT


@pytest.mark.parametrize("service", PRESENT)
def test_a_services_sql_touches_only_its_own_tables(service: str) -> None:
    grants = service_grants(MANIFEST, service)
    allowed = [grant for grant in (grants.home, grants.own, grants.shared) if grant is not None]
    wrong = []
    for file, line, sql in statements(SERVICES / service):
        found = [violations(sql, grant) for grant in allowed]
        if all(found):
            wrong.append(f"{file}:{line}: {'; '.join(min(found, key=len))}")
    assert wrong == []
