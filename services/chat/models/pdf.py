"""Plain text as a PDF 1.4 file on A4 pages (ISO 32000-1); pure, standard fonts only.

The standard fonts cover Windows-1252: any other character becomes a question mark. The text and
JSON forms of an export have them all.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

COLUMNS = 92  # characters of Courier at 9 points between the margins
ROWS = 60
PAGE = (595, 842)  # points
MARGIN = 48  # points
FONT_SIZE, LEADING = 9, 12.4  # points
_CATALOGUE, _PAGES, _FONT = 1, 2, 3  # object numbers; then page and content in turn


def text_pdf(text: str) -> bytes:
    """The text, wrapped, on as many pages as it takes."""
    lines = list(_wrapped(text))
    pages = [lines[start : start + ROWS] for start in range(0, len(lines), ROWS)]
    return _file(_objects(pages))


def _wrapped(text: str) -> Iterator[str]:
    for line in text.split("\n"):
        yield from textwrap.wrap(line, COLUMNS, drop_whitespace=False) or [""]


def _objects(pages: Sequence[Sequence[str]]) -> list[bytes]:
    numbers = [_FONT + 1 + 2 * place for place in range(len(pages))]
    kids = " ".join(f"{number} 0 R" for number in numbers)
    objects = [
        f"<< /Type /Catalog /Pages {_PAGES} 0 R >>".encode(),
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Courier /Encoding /WinAnsiEncoding >>",
    ]
    for number, lines in zip(numbers, pages, strict=True):
        content = _content(lines)
        objects += [
            f"<< /Type /Page /Parent {_PAGES} 0 R /MediaBox [0 0 {PAGE[0]} {PAGE[1]}]"
            f" /Resources << /Font << /F1 {_FONT} 0 R >> >> /Contents {number + 1} 0 R >>".encode(),
            b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content),
        ]
    return objects


def _content(lines: Sequence[str]) -> bytes:
    head = f"BT /F1 {FONT_SIZE} Tf {LEADING} TL {MARGIN} {PAGE[1] - MARGIN} Td\n".encode()
    return head + b"".join(b"(%s) Tj T*\n" % _literal(line) for line in lines) + b"ET"


def _literal(line: str) -> bytes:
    """A string between parentheses (7.3.4.2): backslash and parentheses are escaped."""
    raw = line.encode("cp1252", "replace").replace(b"\\", b"\\\\")
    return raw.replace(b"(", b"\\(").replace(b")", b"\\)")


def _file(objects: Sequence[bytes]) -> bytes:
    out = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
    places: list[int] = []
    for number, body in enumerate(objects, start=1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    out += b"trailer\n<< /Size %d /Root %d 0 R >>\n" % (len(objects) + 1, _CATALOGUE)
    out += b"startxref\n%d\n%%%%EOF\n" % table
    return bytes(out)
