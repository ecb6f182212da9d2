"""Types and sizes of files by their leading bytes."""

from __future__ import annotations

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import UploadFile

from shared.errors import CallerError, Code
from shared.web.uploads import (
    IMAGE_LIMIT_BYTES,
    audio_type,
    image_size,
    image_type,
    read_audio,
    read_image,
)

PNG = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + struct.pack(">II", 640, 480)
JPEG = (
    b"\xff\xd8\xff\xe0" + struct.pack(">H", 4) + b"xx"  # APP0
    + b"\xff\xc4" + struct.pack(">H", 3) + b"x"  # a table, not a frame
    + b"\xff\xff\xc2" + struct.pack(">HBHH", 11, 8, 480, 640) + b"\x03\x00\x00"
)  # fmt: skip
VP8X = b"RIFF....WEBPVP8X" + b"\x0a\x00\x00\x00\x00\x00\x00\x00" + b"\x7f\x02\x00\xdf\x01\x00"
VP8 = b"RIFF....WEBPVP8 " + b"\x00" * 10 + struct.pack("<HH", 640 | 0x4000, 480)
VP8L = b"RIFF....WEBPVP8L" + b"\x00" * 4 + b"\x2f" + struct.pack("<I", 639 | (479 << 14))


@pytest.mark.parametrize(
    ("content", "kind"),
    [(PNG, "image/png"), (JPEG, "image/jpeg"), (VP8X, "image/webp"), (VP8, "image/webp"),
     (VP8L, "image/webp")],
)  # fmt: skip
def test_an_image_is_known_with_its_size(content: bytes, kind: str) -> None:
    assert image_type(content) == kind
    assert image_size(content, kind) == (640, 480)


@pytest.mark.parametrize("content", [PNG, JPEG, VP8X, VP8, VP8L])
def test_a_cut_header_has_no_size_and_no_crash(content: bytes) -> None:
    for length in range(len(content)):
        kind = image_type(content[:length])
        if kind is not None:
            assert image_size(content[:length], kind) in ((None, None), (640, 480))


@given(tail=st.binary(max_size=60), head=st.sampled_from([PNG[:12], JPEG[:3], VP8X[:16], VP8[:16]]))
def test_no_bytes_crash_the_reading_of_a_size(head: bytes, tail: bytes) -> None:
    kind = image_type(head + tail)
    assert kind is not None
    width, height = image_size(head + tail, kind)
    assert (width is None) == (height is None)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"RIFF....WAVEfmt ", "audio/wav"), (b"OggS\x00", "audio/ogg"),
        (b"\x1a\x45\xdf\xa3", "audio/webm"), (b"\x00\x00\x00\x20ftypM4A ", "audio/mp4"),
        (b"ID3\x04", "audio/mpeg"), (b"\xff\xfb\x90\x00", "audio/mpeg"),
        (b"", None), (b"\xff", None), (b"RIFF....WEBP", None), (b"MZ", None), (PNG, None),
        (b"\xff\xe0", None),
    ],
)  # fmt: skip
def test_audio_is_known_by_its_leading_bytes(content: bytes, kind: str | None) -> None:
    assert audio_type(content) == kind


async def test_the_declared_type_decides_nothing() -> None:
    lying = UploadFile(io.BytesIO(b"<html>"), filename="a.png")
    with pytest.raises(CallerError) as caught:
        await read_image(lying)
    assert caught.value.code is Code.UNSUPPORTED_MEDIA_TYPE
    assert caught.value.details["allowed"] == ["image/png", "image/jpeg", "image/webp"]
    image = await read_image(UploadFile(io.BytesIO(PNG), filename="a.txt"))
    assert (image.content_type, image.width, image.height, len(image.sha256)) == (
        "image/png", 640, 480, 64,
    )  # fmt: skip
    audio = await read_audio(UploadFile(io.BytesIO(b"OggSx"), filename="a.exe"))
    assert (audio.content_type, audio.width) == ("audio/ogg", None)


async def test_a_file_above_the_limit_is_413() -> None:
    with pytest.raises(CallerError) as caught:
        await read_image(UploadFile(io.BytesIO(PNG + b"\x00" * IMAGE_LIMIT_BYTES)))
    assert caught.value.code is Code.PAYLOAD_TOO_LARGE
    assert caught.value.details == {"limit_bytes": IMAGE_LIMIT_BYTES}
