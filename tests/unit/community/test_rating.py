from __future__ import annotations

import pytest

from services.community.models import rating_of


@pytest.mark.parametrize(
    ("up", "votes", "rating"),
    [(0, 0, None), (0, 3, 0.0), (3, 3, 5.0), (2, 3, 3.33), (1, 3, 1.67), (1, 8, 0.62)],
)
def test_the_rating_is_the_share_of_good_votes(up: int, votes: int, rating: float | None) -> None:
    assert rating_of(up, votes) == rating
