"""Sends mail: kept in memory by the reference provider, else SendGrid, SMTP or a folder; knows no account."""

from __future__ import annotations

import asyncio
import secrets
import smtplib
import uuid
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import Protocol

import httpx

from services.auth.codes import LIFETIME_MINUTES
from services.auth.settings import MailSettings
from shared.errors import provider_failed, provider_timed_out

SEND_SECONDS = 8.0
KEPT_MESSAGES = 1000


@dataclass(frozen=True, slots=True)
class Mail:
    to: str
    subject: str
    text: str


class Mailer(Protocol):
    """Raises PeerError PROVIDER_ERROR or PROVIDER_TIMEOUT if a mail cannot be handed over."""

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


class _RandomCodes:
    def new_code(self) -> str:
        return f"{secrets.randbelow(1_000_000):06d}"


class SendGridMailer(_RandomCodes):
    """SendGrid's `/v3/mail/send` (docs.sendgrid.com/api-reference/mail-send)."""

    def __init__(self, client: httpx.AsyncClient, sender: str) -> None:
        self._client = client
        self._sender = sender

    async def send(self, mail: Mail) -> None:
        body = {
            "personalizations": [{"to": [{"email": mail.to}]}],
            "from": {"email": self._sender},
            "subject": mail.subject,
            "content": [{"type": "text/plain", "value": mail.text}],
        }
        try:
            answer = await self._client.post("/v3/mail/send", json=body)
        except httpx.TimeoutException as error:
            raise provider_timed_out("SendGrid took too long", "mail") from error
        except httpx.HTTPError as error:
            raise provider_failed(f"SendGrid: {type(error).__name__}", "mail") from error
        if answer.status_code >= 300:
            raise provider_failed(f"SendGrid answered {answer.status_code}", "mail")


class SmtpMailer(_RandomCodes):
    """A mail server, with STARTTLS where there is a user."""

    def __init__(self, settings: MailSettings) -> None:
        self._settings = settings

    async def send(self, mail: Mail) -> None:
        message = _message(mail, self._settings.smtp_from)
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await asyncio.to_thread(self._deliver, message)
        except TimeoutError as error:
            raise provider_timed_out("the mail server took too long", "mail") from error
        except (OSError, smtplib.SMTPException) as error:
            raise provider_failed(f"mail server: {type(error).__name__}", "mail") from error

    def _deliver(self, message: EmailMessage) -> None:
        settings = self._settings
        host = settings.smtp_host or ""
        with smtplib.SMTP(host, settings.smtp_port, timeout=SEND_SECONDS) as server:
            if settings.smtp_user:
                password = settings.smtp_password
                server.starttls()
                server.login(settings.smtp_user, password.get_secret_value() if password else "")
            server.send_message(message)


class FolderMailer(_RandomCodes):
    """A file per mail, for people who try the product on their own machine."""

    def __init__(self, folder: Path, sender: str) -> None:
        self._folder = folder
        self._sender = sender

    async def send(self, mail: Mail) -> None:
        message = _message(mail, self._sender)
        try:
            await asyncio.to_thread(self._write, message)
        except OSError as error:
            raise provider_failed(f"MAIL_DIR: {type(error).__name__}", "mail") from error

    def _write(self, message: EmailMessage) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / f"{uuid.uuid4()}.eml").write_bytes(message.as_bytes())


class NoMailer(_RandomCodes):
    """Nothing is configured: every mail fails, and says what to set."""

    async def send(self, mail: Mail) -> None:
        raise provider_failed("set SENDGRID_API_KEY, SMTP_HOST or MAIL_DIR", "mail")


@asynccontextmanager
async def open_mailer(settings: MailSettings) -> AsyncIterator[Mailer]:
    """The mailer of this process, as the settings choose it."""
    if settings.providers == "reference":
        yield ReferenceMailer()
    elif settings.sendgrid_api_key is not None:
        key = settings.sendgrid_api_key.get_secret_value()
        async with httpx.AsyncClient(
            base_url=settings.sendgrid_base_url,
            headers={"Authorization": f"Bearer {key}"},
            timeout=SEND_SECONDS,
        ) as client:
            yield SendGridMailer(client, settings.smtp_from)
    elif settings.smtp_host:
        yield SmtpMailer(settings)
    elif settings.mail_dir is not None:
        yield FolderMailer(settings.mail_dir, settings.smtp_from)
    else:
        yield NoMailer()


async def send_code(mailer: Mailer, to: str, code: str) -> None:
    """Mail a one-time code; raises what the mailer raises."""
    text = f"Your code is {code}. It is good for {LIFETIME_MINUTES} minutes."
    await mailer.send(Mail(to, "Your sign-in code", text))


def _message(mail: Mail, sender: str) -> EmailMessage:
    message = EmailMessage()
    message["To"], message["From"], message["Subject"] = mail.to, sender, mail.subject
    message.set_content(mail.text)
    return message
