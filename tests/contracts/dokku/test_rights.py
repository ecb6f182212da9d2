"""The SQL of every service and of the shared library stays within the rights that the manifest gives its role."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from migrate.dokku.desired import desired_host
from shared.manifest import load_manifest

ROOT = Path(__file__).parents[3]
MANIFEST = load_manifest(ROOT / "migration.toml")
DESIRED = desired_host(MANIFEST, {})
SCHEMA = "\n".join(path.read_text() for path in sorted((ROOT / "monolith/schema").glob("*.sql")))
CONTROL = "\n".join(path.read_text() for path in (ROOT / "shared/control/schema").glob("*.sql"))
RELATIONS = set(
    re.findall(
        r"CREATE (?:OR REPLACE )?(?:TABLE|VIEW)(?: IF NOT EXISTS)? (?:public\.)?(\w+)", SCHEMA
    )
)
FUNCTIONS = set(re.findall(r"CREATE (?:OR REPLACE )?FUNCTION (?:public\.)?(\w+)", SCHEMA))
READING = re.compile(r"\b(?:FROM|JOIN)\s+(?:public\.)?(\w+)")
WRITING = re.compile(
    r"\b(?:INSERT\s+INTO|DELETE\s+FROM|UPDATE(?!\s+SET)|MERGE\s+INTO)\s+(?:ONLY\s+)?(?:public\.)?(\w+)"
)
BUILT = tuple(
    name for name in MANIFEST.services if (ROOT / "services" / name / "repository.py").exists()
)
#: Parts of the library that only the router, the operator or tests use: their SQL runs with other roles.
NOT_OF_SERVICES = ("control", "routing", "contract")


def texts(folder: Path, leave_out: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    for path in sorted((*folder.rglob("*.py"), *folder.rglob("*.sql"))):
        inside = path.relative_to(folder)
        if inside.parts[0] not in (*leave_out, "schema") and inside.name != "migrations.py":
            yield str(path.relative_to(ROOT)), path.read_text()


def rights_in_shared(service: str) -> tuple[set[str], set[str], set[str]]:
    """(readable, writable relations, patterns of functions) of a service's role in the shared database."""
    assert MANIFEST.dokku is not None
    app = MANIFEST.services[service].app
    rights = DESIRED.apps[app].rights[MANIFEST.dokku.shared_store or ""]
    public = [row for row in rights if row.schema_name == "public"]
    writable = {t for row in public if row.rights in {"write", "own"} for t in row.tables}
    readable = {t for row in public for t in row.tables}
    return readable, writable, {f for row in public for f in row.functions}


def offences(service: str, sources: Iterator[tuple[str, str]]) -> list[str]:
    readable, writable, functions = rights_in_shared(service)
    found = []
    for place, text in sources:
        written = set(WRITING.findall(text)) & RELATIONS - writable
        read = set(READING.findall(text)) & RELATIONS - readable
        called = {f for f in FUNCTIONS if re.search(rf"\b{f}\(", text)}
        allowed = {f for f in called if any(fnmatchcase(f, pattern) for pattern in functions)}
        found += [f"{place} writes {name}" for name in written]
        found += [f"{place} reads {name}" for name in read]
        found += [f"{place} calls {name}" for name in called - allowed]
    return found


def test_the_schema_was_read() -> None:
    assert {"users", "outbox", "maintenance_modes", "quota_status"} <= RELATIONS
    assert {"emit_event", "quota_reserve"} <= FUNCTIONS


@pytest.mark.parametrize("service", BUILT)
def test_a_service_asks_only_for_what_its_role_may(service: str) -> None:
    assert not offences(service, texts(ROOT / "services" / service))


@pytest.mark.parametrize("service", MANIFEST.services)
def test_the_library_asks_only_for_what_every_role_may(service: str) -> None:
    assert not offences(service, texts(ROOT / "shared", NOT_OF_SERVICES))


@pytest.mark.parametrize("service", MANIFEST.services)
def test_a_role_may_no_more_than_its_tables_and_those_that_it_reads(service: str) -> None:
    readable, writable, _ = rights_in_shared(service)
    assert MANIFEST.dokku is not None
    row = MANIFEST.services[service]
    common = {
        t for r in MANIFEST.dokku.shared_rights if r.schema_name == "public" for t in r.tables
    }
    platform = {*MANIFEST.platform.shared_tables, *MANIFEST.platform.everywhere_tables}
    assert writable <= {*row.tables, *platform} - {"maintenance_modes"}
    assert readable <= {*row.tables, *row.reads, *common}
    assert "*" not in readable
