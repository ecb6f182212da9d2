"""Stand-in of a mail server: takes every message by SMTP (RFC 5321) into the outbox and sends nothing."""

from __future__ import annotations

import asyncio
import email
import email.policy
import re

from migrate.stack.stand_ins.outbox import MailOutbox

#: Longest wait for the next line of a client, in seconds.
LINE_SECONDS = 60.0
#: Largest message, in bytes.
MAIL_MAX_BYTES = 10 * 1024 * 1024
_ADDRESS = re.compile(r"<([^>]*)>")


class SmtpSink:
    """One listening socket; a recipient whose address holds `+bounced` is refused with 550."""

    def __init__(self, outbox: MailOutbox) -> None:
        self._outbox = outbox
        self._server: asyncio.Server | None = None

    async def open(self, host: str, port: int) -> int:
        """Listen; returns the port, which is a free one for 0."""
        self._server = await asyncio.start_server(self._serve, host, port, limit=MAIL_MAX_BYTES)
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await _Dialogue(self._outbox, reader, writer).run()
        except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError):
            pass  # the client is gone, too slow, or sends what is no mail
        finally:
            writer.close()


class _Dialogue:
    """One connection: a sender and recipients until DATA, then from the start again."""

    def __init__(
        self, outbox: MailOutbox, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._outbox = outbox
        self._reader = reader
        self._writer = writer
        self._sender = ""
        self._recipients: list[str] = []

    async def run(self) -> None:
        await self._say("220 stand-in ESMTP")
        while True:
            line = (await self._line()).decode("utf-8", "replace").rstrip("\r\n")
            verb, _, rest = line.partition(" ")
            if not line or verb.upper() == "QUIT":
                await self._say("221 Bye")
                return
            await self._say(await self._answer(verb.upper(), rest))

    async def _answer(self, verb: str, rest: str) -> str:
        address = _ADDRESS.search(rest)
        match verb:
            case "EHLO":
                return (
                    f"250-stand-in\r\n250-8BITMIME\r\n250-AUTH PLAIN\r\n250 SIZE {MAIL_MAX_BYTES}"
                )
            case "HELO" | "NOOP":
                return "250 stand-in"
            case "AUTH":
                return "235 2.7.0 Authentication successful"
            case "RSET":
                self._sender, self._recipients = "", []
                return "250 OK"
            case "MAIL" if address:
                self._sender, self._recipients = address[1], []
                return "250 OK"
            case "RCPT" if address:
                if "+bounced" in address[1]:
                    return "550 5.1.1 Mailbox unavailable"
                self._recipients.append(address[1])
                return "250 OK"
            case "DATA":
                return await self._data()
            case _:
                return "502 5.5.1 Command not recognised"

    async def _data(self) -> str:
        if not self._recipients:
            return "503 5.5.1 No valid recipients"
        await self._say("354 End data with <CR><LF>.<CR><LF>")
        lines: list[bytes] = []
        size = 0
        while (line := await self._line()) != b".\r\n":
            size += len(line)
            if size > MAIL_MAX_BYTES:
                raise ValueError("the message is too large")
            lines.append(line[1:] if line.startswith(b".") else line)
        message = email.message_from_bytes(b"".join(lines), policy=email.policy.SMTP)
        mail = self._outbox.put(message, "smtp", self._sender, self._recipients)
        self._sender, self._recipients = "", []
        return f"250 2.0.0 OK queued as {mail.file}"

    async def _line(self) -> bytes:
        async with asyncio.timeout(LINE_SECONDS):
            return await self._reader.readuntil(b"\r\n")

    async def _say(self, text: str) -> None:
        self._writer.write(f"{text}\r\n".encode())
        await self._writer.drain()
