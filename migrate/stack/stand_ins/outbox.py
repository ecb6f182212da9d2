"""Mail that was sent: kept in memory for tests and written to a folder for people; knows no protocol."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from email.message import EmailMessage
from pathlib import Path


@dataclass(frozen=True, slots=True)
class SentMail:
    """One message; `via` is the door it came by, `file` its name in the folder."""

    via: str
    sender: str
    recipients: tuple[str, ...]
    subject: str
    text: str
    file: str


class MailOutbox:
    """Every message is one `.eml` file (RFC 5322), named by time and number."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._mail: list[SentMail] = []
        self._written = 0

    def put(self, message: EmailMessage, via: str, sender: str, recipients: list[str]) -> SentMail:
        """Keep a message; the envelope's addresses count, not those of its head."""
        self._directory.mkdir(parents=True, exist_ok=True)
        self._written += 1
        file = self._directory / f"{int(time.time())}-{self._written:05d}.eml"
        file.write_bytes(message.as_bytes())
        body = message.get_body(("plain", "html"))
        text = str(body.get_content()) if body is not None else ""
        subject = str(message.get("subject", ""))
        mail = SentMail(via, sender, tuple(recipients), subject, text, file.name)
        self._mail.append(mail)
        return mail

    def listing(self) -> list[dict[str, object]]:
        """Every message, oldest first."""
        return [asdict(mail) for mail in self._mail]

    def reset(self) -> None:
        """Forget the messages and remove the files that this process wrote."""
        for mail in self._mail:
            (self._directory / mail.file).unlink(missing_ok=True)
        self._mail.clear()
