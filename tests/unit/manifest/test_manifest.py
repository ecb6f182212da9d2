"""The shipped manifest loads, and every kind of mistake is refused with its entry and line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from shared.manifest import ManifestError, load_manifest, parse_manifest

SHIPPED = Path(__file__).parents[3] / "migration.toml"
TEXT = SHIPPED.read_text(encoding="utf-8")


def refuse(text: str) -> tuple[str, ...]:
    with pytest.raises(ManifestError) as caught:
        parse_manifest(text)
    return caught.value.problems


def replaced(old: str, new: str) -> str:
    assert TEXT.count(old) >= 1, old
    return TEXT.replace(old, new, 1)


def line_in(text: str, needle: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), 1) if needle in line)


def test_the_shipped_manifest_has_seven_services_in_the_order_of_the_phases() -> None:
    manifest = load_manifest(SHIPPED)
    order = ["content", "media", "payments", "auth", "chat", "community", "analytics"]
    assert list(manifest.services) == order
    assert [phase.name for phase in manifest.phases] == [*order, "retirement"]
    assert {row.name for row in manifest.moving_services()} == set(order) - {"payments", "auth"}


def test_every_key_of_the_shipped_manifest_is_explained_where_it_first_appears() -> None:
    explained = " ".join(re.findall(r"#(.*)", TEXT))
    keys = set(re.findall(r"^\s*([a-z_]+)\s*=", TEXT, re.MULTILINE))
    keys |= set(re.findall(r"[{,]\s*([a-z_]+)\s*=", TEXT))
    lines = TEXT.splitlines()

    def is_explained(key: str) -> bool:
        if re.search(rf"\b{key}\b", explained):
            return True
        first = next(i for i, line in enumerate(lines) if re.search(rf"\b{key}\b\s*=", line))
        return "#" in lines[first] or lines[first - 1].lstrip().startswith("#")

    assert sorted(key for key in keys if not is_explained(key)) == []


def test_an_unknown_key_is_refused_with_its_line() -> None:
    text = replaced("workers = 2", "wrokers = 2\nworkers = 2")
    (problem,) = refuse(text)
    assert "router.wrokers" in problem
    assert problem.startswith(f"line {line_in(text, 'wrokers')}:")


def test_a_route_claimed_by_two_services_is_refused() -> None:
    row = next(line for line in TEXT.splitlines() if '"content.search"' in line)
    head, _, tail = TEXT.partition("[services.media]")
    text = head + "[services.media]" + tail.replace("routes = [", f"routes = [\n{row}", 1)
    problems = refuse(text)
    assert any(
        "content.search" in problem and "both content and media" in problem for problem in problems
    )


def test_two_routes_that_no_request_could_tell_apart_are_refused() -> None:
    text = replaced('"/api/resources/characters/{character_id}"', '"/api/resources/movies/{movie}"')
    assert any("overlaps with content.movie" in problem for problem in refuse(text))


def test_a_table_with_two_owners_is_refused() -> None:
    text = replaced('tables = ["media_metadata"]', 'tables = ["media_metadata", "titles"]')
    (problem,) = refuse(text)
    assert "titles: table of both content and media" in problem


def test_a_platform_table_cannot_belong_to_a_service() -> None:
    text = replaced('tables = ["media_metadata"]', 'tables = ["media_metadata", "outbox"]')
    assert any("outbox: table of both platform and media" in problem for problem in refuse(text))


def test_an_event_that_nobody_publishes_cannot_be_subscribed_to() -> None:
    text = replaced(
        'subscribes = ["user.deleted", "character.published"]', 'subscribes = ["user.vanished"]'
    )
    (problem,) = refuse(text)
    assert "user.vanished" in problem
    assert "no service publishes it" in problem


def test_a_shadowed_write_is_refused() -> None:
    text = replaced('name = "media.generate",', 'name = "media.generate", shadow = true,')
    (problem,) = refuse(text)
    assert problem.startswith(f"line {line_in(text, 'media.generate')}:")
    assert "only reads may be shadowed" in problem


def test_a_phase_after_a_later_one_is_refused() -> None:
    assert any("phase 2" in problem for problem in refuse(replaced("after = [1]", "after = [3]")))


def test_a_phase_that_names_an_unknown_service_is_refused() -> None:
    text = replaced('{ do = "ramp", service = "media"', '{ do = "ramp", service = "medium"')
    problems = refuse(text)
    assert any("medium" in problem and "does not exist" in problem for problem in problems)
    assert any("media: is ramped in no phase" in problem for problem in problems)


@pytest.mark.parametrize("sticky", ["usr", "header:", "body:"])
def test_an_unknown_sticky_key_is_refused(sticky: str) -> None:
    text = replaced('name = "content.search",', f'name = "content.search", sticky = "{sticky}",')
    assert any("sticky is user, session, ip" in problem for problem in refuse(text))


@pytest.mark.parametrize(
    "path", ["api/search", "/api//search", "/api/search/", "/api/{a}b", "/api/*/x"]
)
def test_a_malformed_path_is_refused(path: str) -> None:
    assert refuse(replaced('path = "/api/search"', f'path = "{path}"'))


def test_broken_toml_is_refused_with_the_place() -> None:
    (problem,) = refuse(replaced("workers = 2", "workers 2"))
    assert "not TOML" in problem
    assert f"line {line_in(TEXT, 'workers = 2')}" in problem


def test_a_missing_file_says_how_to_name_it(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="--manifest"):
        load_manifest(tmp_path / "none.toml")


def test_all_mistakes_are_reported_at_once() -> None:
    text = replaced('tables = ["media_metadata"]', 'tables = ["titles"]')
    text = text.replace("character.published", "character.imagined", 1)
    assert len(refuse(text)) == 2


def test_the_manifest_is_frozen() -> None:
    manifest = load_manifest(SHIPPED)
    with pytest.raises(ValueError, match="frozen"):
        manifest.project.name = "other"  # type: ignore[misc]
