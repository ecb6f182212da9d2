"""The chunked coding, read strictly and written anew; pure, knows no connections.

Framing is never relayed: extensions and trailers are read to their end and dropped (RFC 9112 section 7.1),
so no reader behind the router can see a boundary where the router saw none.
"""

from __future__ import annotations

from typing import Final

_TOKEN: Final = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#: Control characters, which stand in no field value and no extension; the tab is allowed.
_CONTROLS: Final = bytes(code for code in (*range(0x20), 0x7F) if code != 0x09)
_HEX: Final = b"0123456789abcdefABCDEF"
#: One size line with its extensions, in bytes. Real extensions are a few words.
MAX_SIZE_LINE_BYTES: Final = 256
#: All extensions and trailers of one body, in bytes, so that framing cannot outgrow the payload.
MAX_OVERHEAD_BYTES: Final = 16 * 1024
#: 16 hex digits would pass 2^63; nobody sends a chunk of 2^52 bytes.
_MAX_SIZE_DIGITS: Final = 13

LAST_CHUNK: Final = b"0\r\n\r\n"

_SIZE: Final = 0
_DATA: Final = 1
_DATA_END: Final = 2
_TRAILER: Final = 3
_DONE: Final = 4


class ChunkError(ValueError):
    """The body is not in the chunked coding."""


def encode_chunk(data: bytes) -> bytes:
    """One chunk. Never call it with no data: that would end the body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class ChunkDecoder:
    """Feeds on raw bytes, gives payload. `done` after the last chunk; `rest` is what followed it."""

    __slots__ = ("_buffer", "_overhead", "_remaining", "_state", "done", "rest")

    def __init__(self) -> None:
        self._state = _SIZE
        self._remaining = 0
        self._buffer = b""
        self._overhead = 0
        self.done = False
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        """The payload in `data`, maybe empty. Raises ChunkError."""
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        pieces: list[bytes] = []
        position, size = 0, len(data)
        while position < size:
            if self._state == _DATA:
                end = min(size, position + self._remaining)
                pieces.append(data[position:end])
                self._remaining -= end - position
                position = end
                if self._remaining == 0:
                    self._state = _DATA_END
            elif self._state == _DATA_END:
                if size - position < 2:
                    if data[position] != 0x0D:
                        raise ChunkError("chunk data is not followed by CRLF")
                    break
                if data[position : position + 2] != b"\r\n":
                    raise ChunkError("chunk data is not followed by CRLF")
                position += 2
                self._state = _SIZE
            else:
                moved = self._line(data, position)
                if moved < 0:
                    break
                position = moved
                if self._state == _DONE:
                    self.done = True
                    self.rest = data[position:]
                    return b"".join(pieces)
        self._buffer = data[position:]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _line(self, data: bytes, position: int) -> int:
        """Take one size line or trailer line; the position after it, -1 when it is not whole."""
        limit = MAX_SIZE_LINE_BYTES if self._state == _SIZE else MAX_OVERHEAD_BYTES
        end = data.find(b"\r\n", position, position + limit + 2)
        if end < 0:
            if len(data) - position > limit:
                raise ChunkError("a line of the chunked framing is too long")
            self._refuse_controls(data[position:].removesuffix(b"\r"))
            return -1
        line = data[position:end]
        self._refuse_controls(line)
        if self._state == _SIZE:
            self._size(line)
        else:
            self._trailer(line)
        return end + 2

    def _size(self, line: bytes) -> None:
        digits, semicolon, extension = line.partition(b";")
        if semicolon:
            self._spend(len(extension) + 1)
        if not digits or len(digits) > _MAX_SIZE_DIGITS or digits.translate(None, _HEX):
            raise ChunkError("a chunk size is not a hexadecimal number")
        self._remaining = int(digits, 16)
        self._state = _DATA if self._remaining else _TRAILER

    def _trailer(self, line: bytes) -> None:
        if not line:
            self._state = _DONE
            return
        self._spend(len(line) + 2)
        name, colon, _ = line.partition(b":")
        if not colon or not name or name.translate(None, _TOKEN):
            raise ChunkError("a trailer is not a field line")

    def _spend(self, count: int) -> None:
        self._overhead += count
        if self._overhead > MAX_OVERHEAD_BYTES:
            raise ChunkError("the chunked framing has too many extensions or trailers")

    @staticmethod
    def _refuse_controls(line: bytes) -> None:
        if len(line.translate(None, _CONTROLS)) != len(line):
            raise ChunkError("a line of the chunked framing has a control character")
