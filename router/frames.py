"""Where WebSocket frames begin and end in a stream of bytes; pure, reads no payload."""

from __future__ import annotations

from typing import Final

#: A close frame of a server with status 1012 (service restart; the client reconnects, contract, 1.14).
CLOSE_1012: Final = b"\x88\x02\x03\xf4"


class FrameTracker:
    """Follows the frames of one direction (RFC 6455 section 5.2)."""

    __slots__ = ("_header", "_left")

    def __init__(self) -> None:
        self._header = b""
        self._left = 0  # payload bytes until the next frame

    @property
    def is_at_boundary(self) -> bool:
        """Whether a frame may be put in here."""
        return self._left == 0 and not self._header

    def feed(self, data: bytes) -> None:
        """Bytes that have passed."""
        position = 0
        size = len(data)
        while position < size:
            if self._left:
                taken = min(self._left, size - position)
                self._left -= taken
                position += taken
                continue
            position = self._read_header(data, position)

    def split(self, data: bytes) -> int:
        """Take the bytes that end the frame under way; how many they are, all when it goes on."""
        position = 0
        while position < len(data) and not self.is_at_boundary:
            count = self._left or 1
            self.feed(data[position : position + count])
            position = min(position + count, len(data))
        return position

    def _read_header(self, data: bytes, position: int) -> int:
        """Take what there is of a frame header; the position behind it."""
        header = self._header
        start = position
        while True:
            needed = _header_size(header)
            if needed is not None and len(header) >= needed:
                break
            wanted = (needed or 2) - len(header)
            piece = data[start : start + wanted]
            header += piece
            start += len(piece)
            if len(piece) < wanted:
                self._header = header
                return start
        self._header = b""
        self._left = _payload_size(header)
        return start


def _header_size(header: bytes) -> int | None:
    """Bytes of the whole header, None before its length byte is known."""
    if len(header) < 2:
        return None
    size = 2 + (4 if header[1] & 0x80 else 0)
    code = header[1] & 0x7F
    return size + (2 if code == 126 else 8 if code == 127 else 0)


def _payload_size(header: bytes) -> int:
    code = header[1] & 0x7F
    if code == 126:
        return int.from_bytes(header[2:4], "big")
    if code == 127:
        return int.from_bytes(header[2:10], "big")
    return code
