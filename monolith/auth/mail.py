"""Sends mail: kept in memory by the reference provider, written to a folder, or by SMTP."""

from __future__ import annotations

import asyncio
import secrets
import smtplib
import uuid
from collections import deque
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Protocol

from monolith.errors import provider_failed, provider_timed_out
from monolith.settings import Settings

SEND_SECONDS = 8.0
KEPT_MESSAGES = 1000


@dataclass(frozen=True, slots=True)
class Mail:
    to: str
    subject: str
    text: str


class Mailer(Protocol):
    """Raises OSError or TimeoutError if a mail cannot be handed over."""

    def new_code(self) -> str: ...

    async def send(self, mail: Mail) -> None: ...


class ReferenceMailer:
    """Nothing leaves the process; the code is always 000000 (contract, 7)."""

    def __init__(self) -> None:
        self.sent: deque[Mail] = deque(maxlen=KEPT_MESSAGES)

    def new_code(self) -> str:
        return "000000"

    async def send(self, mail: Mail) -> None:
        self.sent.append(mail)


class RealMailer:
    """SMTP if SMTP_HOST is set, else a file per mail in MAIL_DIR."""

    def __init__(self, settings: Settings) -> None:
        self._keys = settings.provider_keys
        self._folder = settings.mail_dir

    def new_code(self) -> str:
        return f"{secrets.randbelow(1_000_000):06d}"

    async def send(self, mail: Mail) -> None:
        message = EmailMessage()
        message["To"] = mail.to
        message["From"] = self._keys.get("SMTP_FROM", "no-reply@localhost")
        message["Subject"] = mail.subject
        message.set_content(mail.text)
        async with asyncio.timeout(SEND_SECONDS):
            await asyncio.to_thread(self._deliver, message)

    def _deliver(self, message: EmailMessage) -> None:
        host = self._keys.get("SMTP_HOST")
        if host:
            port = int(self._keys.get("SMTP_PORT", "587"))
            with smtplib.SMTP(host, port, timeout=SEND_SECONDS) as server:
                if self._keys.get("SMTP_USER"):
                    server.starttls()
                    server.login(self._keys["SMTP_USER"], self._keys.get("SMTP_PASSWORD", ""))
                server.send_message(message)
        elif self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            (self._folder / f"{uuid.uuid4()}.eml").write_bytes(message.as_bytes())
        else:
            raise OSError("neither SMTP_HOST nor MAIL_DIR is set")


class MailRoom:
    """The mailer of this process."""

    def __init__(self, settings: Settings) -> None:
        self.mailer: Mailer = (
            ReferenceMailer() if settings.providers == "reference" else RealMailer(settings)
        )

    async def open(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Nothing to close."""

    async def send_code(self, to: str, code: str) -> None:
        """Mail a one-time code; raises PROVIDER_ERROR or PROVIDER_TIMEOUT."""
        text = f"Your code is {code}. It is good for 10 minutes."
        try:
            await self.mailer.send(Mail(to, "Your sign-in code", text))
        except TimeoutError as error:
            raise provider_timed_out("mail") from error
        except (OSError, smtplib.SMTPException) as error:
            raise provider_failed("mail") from error
