from __future__ import annotations

from pathlib import Path

import pytest

from migrate.seed.catalogue import read_catalogue
from migrate.seed.catalogue_rows import bio, character_rows, description, overview, title_rows
from migrate.seed.errors import CatalogueError


def write(folder: Path, titles: str, characters: str = "") -> Path:
    (folder / "titles_a.tsv").write_text(titles, "utf-8")
    (folder / "characters_a.tsv").write_text(characters, "utf-8")
    return folder


def test_the_shipped_catalogue_is_large_and_free_of_contradictions() -> None:
    catalogue = read_catalogue()
    assert len(catalogue.titles) >= 1_800
    assert len(catalogue.characters) >= 1_800
    assert len(catalogue.actors) >= 1_200
    ids = [row.id for row in (*catalogue.titles, *catalogue.actors, *catalogue.characters)]
    assert len(set(ids)) == len(ids)


def test_ids_are_the_same_wherever_the_catalogue_is_read() -> None:
    matrix = next(row for row in read_catalogue().titles if row.title == "The Matrix")
    assert str(matrix.id) == "9845f437-c731-5a43-85d2-35a8d5fe2e1d"


def test_every_shipped_format_and_category_occurs() -> None:
    kinds = {(title.format, title.category) for title in read_catalogue().titles}
    assert len(kinds) == 6


def test_an_earlier_line_is_more_popular(tmp_path: Path) -> None:
    folder = write(
        tmp_path,
        "movie\tlive_action\tOne\t2001\tdrama\nmovie\tlive_action\tTwo\t2002\t\n",
        "Lead\tOne\t2001\tAnn\nFriend\tOne\t2001\tBob\n",
    )
    catalogue = read_catalogue(folder)
    assert [title.popularity for title in catalogue.titles] == [100.0, 97.561]
    assert [part.popularity for part in catalogue.characters] == [100.0, 93.0]
    assert [actor.popularity for actor in catalogue.actors] == [100.0, 93.0]


def test_all_problems_are_reported_at_once_with_their_places(tmp_path: Path) -> None:
    folder = write(
        tmp_path,
        "movie\tlive_action\tOne\t2001\tdrama\n"
        "movie\tlive_action\tOne\t2001\tdrama\n"
        "film\tlive_action\tTwo\t2001\t\n"
        "movie\tlive_action\tThree\n"
        "movie\tlive_action\tFour\tsoon\t\n",
        "Lead\tOne\t2001\t\nLead\tOne\t2001\t\nGhost\tNowhere\t1999\t\n",
    )
    with pytest.raises(CatalogueError) as caught:
        read_catalogue(folder)
    places = {(problem.file, problem.line) for problem in caught.value.problems}
    assert places == {
        ("titles_a.tsv", 2),
        ("titles_a.tsv", 3),
        ("titles_a.tsv", 4),
        ("titles_a.tsv", 5),
        ("characters_a.tsv", 2),
        ("characters_a.tsv", 3),
    }
    assert "migrate seed" in caught.value.message


def test_texts_say_the_facts_that_are_known(tmp_path: Path) -> None:
    folder = write(
        tmp_path,
        "movie\tcartoon\tOne\t2001\tdrama,comedy\nseries\tanime\tTwo\t2002\t\n",
        "Lead\tOne\t2001\tAnn\nFriend\tOne\t2001\t\n",
    )
    catalogue = read_catalogue(folder)
    lead, friend = catalogue.characters
    one, two = catalogue.titles
    assert overview(one, [lead, friend]) == (
        "Animated film of 2001 (drama, comedy) with Lead and Friend."
    )
    assert overview(two, []) == "Anime series of 2002."
    assert description(lead) == "Part in the animated film One (2001), voiced by Ann."
    assert description(friend) == "Part in the animated film One (2001)."
    assert bio([lead]) == "Known as Lead in One (2001)."


def test_rows_carry_norms_and_references() -> None:
    catalogue = read_catalogue()
    by_title = {row[3]: row for row in title_rows(catalogue)}
    assert by_title["Amélie"][4] == "amelie"
    neo = next(row for row in character_rows(catalogue) if row[1] == "Neo")
    assert neo[3] == "The Matrix"
    assert neo[4] == by_title["The Matrix"][0]
