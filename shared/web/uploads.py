"""Uploaded files by the contract's rules (1.16): size, and the type decided by the leading bytes."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from dataclasses import dataclass

from starlette.datastructures import UploadFile

from shared.errors import CallerError, Code

MIB = 1024 * 1024
IMAGE_LIMIT_BYTES = 10 * MIB
AUDIO_LIMIT_BYTES = 25 * MIB
IMAGE_TYPES = ("image/png", "image/jpeg", "image/webp")
AUDIO_TYPES = ("audio/mpeg", "audio/mp4", "audio/wav", "audio/webm", "audio/ogg")


@dataclass(frozen=True, slots=True)
class File:
    """The bytes of an upload and what they are. Width and height are None if unreadable."""

    content: bytes
    content_type: str
    width: int | None = None
    height: int | None = None

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


async def read_image(upload: UploadFile) -> File:
    """An image of at most 10 MiB; 413 or 415 otherwise."""
    content = await _read(upload, IMAGE_LIMIT_BYTES)
    content_type = _detect(content, image_type, IMAGE_TYPES)
    width, height = image_size(content, content_type)
    return File(content, content_type, width, height)


async def read_audio(upload: UploadFile) -> File:
    """Audio of at most 25 MiB; 413 or 415 otherwise."""
    content = await _read(upload, AUDIO_LIMIT_BYTES)
    return File(content, _detect(content, audio_type, AUDIO_TYPES))


def image_type(content: bytes) -> str | None:
    """The image type that the leading bytes say; None for anything else."""
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if content.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    return None


def audio_type(content: bytes) -> str | None:
    """The audio type that the leading bytes say; None for anything else."""
    if content[:4] == b"RIFF" and content[8:12] == b"WAVE":
        return "audio/wav"
    if content.startswith(b"OggS"):
        return "audio/ogg"
    if content.startswith(b"\x1a\x45\xdf\xa3"):  # EBML
        return "audio/webm"
    if content[4:8] == b"ftyp":  # ISO base media
        return "audio/mp4"
    if content.startswith(b"ID3") or _is_mpeg_frame(content):
        return "audio/mpeg"
    return None


def image_size(content: bytes, content_type: str) -> tuple[int | None, int | None]:
    """Width and height from the header; (None, None) when it is cut or odd."""
    try:
        return _SIZES[content_type](content)
    except (IndexError, struct.error, ValueError):
        return None, None


def _is_mpeg_frame(content: bytes) -> bool:
    """A frame header: eleven bits of sync, then a layer that is not reserved."""
    return (
        len(content) > 1
        and content[0] == 0xFF
        and content[1] & 0xE0 == 0xE0
        and bool(content[1] & 0x06)
    )


def _png_size(content: bytes) -> tuple[int, int]:
    if content[12:16] != b"IHDR":
        raise ValueError("no IHDR")
    width, height = struct.unpack(">II", content[16:24])
    return _sane(width, height)


def _jpeg_size(content: bytes) -> tuple[int, int]:
    """Walks the segments to the first start of frame (ITU T.81, B.1.1.3)."""
    place = 2
    while place + 9 <= len(content):
        if content[place] != 0xFF:
            raise ValueError("no marker")
        marker = content[place + 1]
        if marker == 0xFF:  # fill byte
            place += 1
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", content[place + 5 : place + 9])
            return _sane(width, height)
        (length,) = struct.unpack(">H", content[place + 2 : place + 4])
        if length < 2:
            raise ValueError("bad length")
        place += 2 + length
    raise ValueError("no frame")


def _webp_size(content: bytes) -> tuple[int, int]:
    kind = content[12:16]
    if kind == b"VP8X" and len(content) >= 30:
        return _sane(
            1 + int.from_bytes(content[24:27], "little"),
            1 + int.from_bytes(content[27:30], "little"),
        )
    if kind == b"VP8 ":
        width, height = struct.unpack("<HH", content[26:30])
        return _sane(width & 0x3FFF, height & 0x3FFF)
    if kind == b"VP8L":
        (bits,) = struct.unpack("<I", content[21:25])
        return _sane(1 + (bits & 0x3FFF), 1 + ((bits >> 14) & 0x3FFF))
    raise ValueError("unknown chunk")


_SIZES: dict[str, Callable[[bytes], tuple[int, int]]] = {
    "image/png": _png_size,
    "image/jpeg": _jpeg_size,
    "image/webp": _webp_size,
}


def _sane(width: int, height: int) -> tuple[int, int]:
    if not (0 < width < 2**31 and 0 < height < 2**31):  # columns of type integer
        raise ValueError("no size")
    return width, height


async def _read(upload: UploadFile, limit: int) -> bytes:
    content = await upload.read(limit + 1)
    if len(content) > limit:
        raise CallerError(
            Code.PAYLOAD_TOO_LARGE,
            f"The file may have at most {limit} bytes",
            details={"limit_bytes": limit},
        )
    return content


def _detect(content: bytes, detect: Callable[[bytes], str | None], allowed: tuple[str, ...]) -> str:
    found = detect(content)
    if found is None:
        raise CallerError(
            Code.UNSUPPORTED_MEDIA_TYPE,
            "The file is of no type that is read here",
            details={"allowed": list(allowed)},
        )
    return found
