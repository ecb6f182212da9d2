"""A whole conversation as a file: text, JSON, or the text laid out as a PDF."""

from __future__ import annotations

from starlette.responses import Response

from services.chat.models.pdf import text_pdf
from shared.contract.chat import Export, ExportFormat
from shared.contract.values import timestamp_text

TYPES: dict[ExportFormat, str] = {
    "txt": "text/plain; charset=utf-8",
    "json": "application/json",
    "pdf": "application/pdf",
}


def export_file(document: Export, form: ExportFormat) -> Response:
    """The answer of chat.export."""
    name = f"conversation-{document.conversation.id}.{form}"
    return Response(
        _content(document, form),
        headers={
            "Content-Type": TYPES[form],
            "Content-Disposition": f'attachment; filename="{name}"',
        },
    )


def as_text(document: Export) -> str:
    """Title, empty line, then `[<created_at>] <sender>: <content>` per message."""
    lines = [document.conversation.title, ""]
    lines += [
        f"[{timestamp_text(one.created_at)}] {one.sender}: {one.content}"
        for one in document.messages
    ]
    return "".join(f"{line}\n" for line in lines)


def _content(document: Export, form: ExportFormat) -> bytes:
    if form == "json":
        return document.model_dump_json().encode()
    text = as_text(document)
    return text_pdf(text) if form == "pdf" else text.encode()
