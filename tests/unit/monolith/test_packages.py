"""A domain can be deleted: nobody imports it but the table of domains."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import monolith
from monolith.app import build_app
from monolith.domains import DOMAINS
from monolith.settings import Settings

FOLDER = Path(monolith.__file__).parent
NAMES = sorted(domain.name for domain in DOMAINS)


def imported(path: Path) -> set[str]:
    """Modules of the old API that a file imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name.startswith("monolith.")}


@pytest.mark.parametrize("domain", NAMES)
def test_only_the_table_of_domains_imports_a_domain(domain: str) -> None:
    users = {
        str(path.relative_to(FOLDER))
        for path in FOLDER.rglob("*.py")
        if FOLDER / domain not in path.parents
        and any(f"{name}.".startswith(f"monolith.{domain}.") for name in imported(path))
    }
    assert users == {"domains.py"}


@pytest.mark.parametrize("domain", NAMES)
def test_the_app_can_be_built_without_a_domain(domain: str) -> None:
    rest = [d for d in DOMAINS if d.name != domain]
    app = build_app(Settings("postgresql://nobody@127.0.0.1:1/none", ("s" * 32,)), rest)
    tags = {tag for route in app.routes for tag in getattr(route, "tags", ())}
    assert domain not in tags
    assert tags >= {d.name for d in rest}


def test_no_file_is_longer_than_three_hundred_lines() -> None:
    long = {p.name for p in FOLDER.rglob("*.py") if len(p.read_text("utf-8").splitlines()) > 300}
    assert long == set()
