from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from monolith.chat.pdf import text_pdf as old_pdf
from services.chat.endpoints.export import as_text
from services.chat.models.exchange import Replies, group_title, new_place
from services.chat.models.pdf import text_pdf
from services.chat.models.prompts import estimate_tokens, history_tokens
from services.chat.models.rows import conversation_of, message_of, place_of
from shared.contract.chat import Export

MOMENT = datetime(2025, 1, 31, 12, 0, 0, 123_999, UTC)
ROW = {
    "id": uuid4(),
    "conversation_type": "group",
    "title": "A & B",
    "character_name": None,
    "character_series": "",
    "character_id": None,
    "participants": '[{"name": "A", "series": "S"}, {"name": "B", "series": null}]',
    "message_count": 1,
    "token_count": 2,
    "last_message_at": MOMENT,
    "created_at": MOMENT,
    "updated_at": MOMENT,
}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Neo\n\n[2025-01-31T12:00:00.000Z] user: hi\n",
        "(a) \\ b — “c” é 日本\n" + "word " * 100 + "\n",
        "line\n" * 200,
        "x" * 1000,
    ],
)
def test_a_pdf_is_byte_for_byte_the_one_of_the_old_api(text: str) -> None:
    assert text_pdf(text) == old_pdf(text)


def test_tokens_are_a_quarter_of_the_code_points_rounded_up() -> None:
    assert [estimate_tokens(""), estimate_tokens("abcd"), estimate_tokens("ab", "cd", "é")] == [
        0,
        1,
        2,
    ]
    assert history_tokens(0, "abcde") == 11_998
    assert history_tokens(2, "") == 64_000


def test_a_group_has_its_members_as_speakers_in_order() -> None:
    place = place_of(conversation_of(ROW))
    assert [(one.name, one.series) for one in place.speakers] == [("A", "S"), ("B", "")]
    assert (place.form, place.is_new) == ("group", False)


def test_a_new_place_is_titled_with_the_character() -> None:
    place = new_place("N" * 120, "M")
    assert (place.title, place.is_new, place.form) == ("N" * 120, True, "single")


def test_a_group_without_a_title_is_named_after_its_members_and_cut() -> None:
    assert group_title(None, ["A", "B"]) == "A & B"
    assert group_title("Crew", ["A", "B"]) == "Crew"
    assert group_title(None, ["x" * 118, "y"]) == "x" * 118 + " &"


def test_pieces_of_replies_are_put_together_in_speaking_order() -> None:
    replies = Replies()
    begun = [replies.add(0, "a"), replies.add(0, "b"), replies.add(1, "c")]
    assert begun == [True, False, True]
    assert replies.texts == ["ab", "c"]


def test_an_export_as_text_has_one_line_per_message() -> None:
    message = message_of(
        {
            "id": UUID(int=1),
            "conversation_id": ROW["id"],
            "seq": 1,
            "role": "user",
            "sender": "user",
            "content": "hi",
            "message_type": "text",
            "media_id": None,
            "pinned": False,
            "reaction": None,
            "edited_at": None,
            "model": None,
            "tokens": None,
            "truncated": False,
            "created_at": MOMENT,
            "updated_at": MOMENT,
        }
    )
    document = Export(conversation=conversation_of(ROW), messages=(message,))
    assert as_text(document) == "A & B\n\n[2025-01-31T12:00:00.123Z] user: hi\n"
