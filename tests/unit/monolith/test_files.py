"""Kinds of files by their leading bytes, sizes of pictures, ranges of bytes, PDFs."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from monolith.chat.pdf import text_pdf
from monolith.filetypes import audio_type_of, picture_of
from monolith.media.ranges import ByteRange, UnsatisfiableError, parse_range


def drawn(form: str, **options: object) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (37, 21), "red").save(out, form, **options)
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "content_type"),
    [
        (drawn("PNG"), "image/png"),
        (drawn("JPEG"), "image/jpeg"),
        (drawn("JPEG", progressive=True), "image/jpeg"),
        (drawn("WEBP"), "image/webp"),
        (drawn("WEBP", lossless=True), "image/webp"),
        (drawn("WEBP", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"), "image/webp"),
    ],
)
def test_a_picture_tells_its_type_and_size(data: bytes, content_type: str) -> None:
    picture = picture_of(data)
    assert picture is not None
    assert (picture.content_type, picture.width, picture.height) == (content_type, 37, 21)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_a_picture_cut_short_keeps_its_type_and_has_no_size(form: str) -> None:
    picture = picture_of(drawn(form)[:13])
    assert picture is not None
    assert (picture.width, picture.height) == (None, None)


def test_other_bytes_are_no_picture() -> None:
    for data in (b"", b"GIF89a", b"<svg/>", b"RIFF1234WAVE", b"\x89PNG"):
        assert picture_of(data) is None


def test_sounds_are_told_by_their_leading_bytes() -> None:
    assert audio_type_of(b"ID3\x03") == "audio/mpeg"
    assert audio_type_of(b"\xff\xfb\x90\x00") == "audio/mpeg"
    assert audio_type_of(b"\0\0\0\x20ftypM4A ") == "audio/mp4"
    assert audio_type_of(b"RIFF1234WAVEfmt ") == "audio/wav"
    assert audio_type_of(b"\x1aE\xdf\xa3") == "audio/webm"
    assert audio_type_of(b"OggS") == "audio/ogg"
    assert audio_type_of(b"fLaC") is None
    assert audio_type_of(b"") is None


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        (None, None),
        ("bytes=0-3", ByteRange(0, 3)),
        ("bytes=4-", ByteRange(4, 9)),
        ("bytes=-3", ByteRange(7, 9)),
        ("bytes=-99", ByteRange(0, 9)),
        ("bytes=8-99", ByteRange(8, 9)),
        ("bytes=0-1,4-5", None),
        ("items=0-1", None),
        ("bytes=5-2", None),
        ("bytes=-", None),
    ],
)
def test_one_range_is_read_and_others_are_ignored(header: str | None, wanted: object) -> None:
    assert parse_range(header, 10) == wanted


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-11", "bytes=-0"])
def test_a_range_outside_of_the_file_is_refused(header: str) -> None:
    with pytest.raises(UnsatisfiableError):
        parse_range(header, 10)


def test_a_pdf_holds_every_page_and_points_at_its_objects() -> None:
    made = text_pdf("\n".join(f"line ({n}) \\ ü 猫" for n in range(130)))
    assert made.startswith(b"%PDF-1.4")
    assert made.endswith(b"%%EOF\n")
    assert b"/Count 3" in made
    assert rb"line \(129\) \\ " in made
    table = int(made.rsplit(b"startxref\n", 1)[1].split(b"\n")[0])
    assert made[table:].startswith(b"xref\n")
    rows = made[table:].split(b"\n")[2:]
    for number, row in enumerate(rows[1 : 1 + 3 + 6], start=1):
        assert made[int(row[:10]) :].startswith(b"%d 0 obj" % number)
