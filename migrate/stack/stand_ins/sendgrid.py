"""Stand-in of SendGrid's `/v3/mail/send`: mail goes to the outbox (docs.sendgrid.com/api-reference/mail-send)."""

from __future__ import annotations

import base64
import json
import secrets
from email.message import EmailMessage
from typing import Annotated, Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field, ValidationError

from migrate.stack.stand_ins.outbox import MailOutbox


class Address(BaseModel):
    email: Annotated[str, Field(pattern="^[^@\\s]+@[^@\\s]+$")]
    name: str | None = None


class Personalization(BaseModel):
    to: Annotated[list[Address], Field(min_length=1)]
    cc: list[Address] = []
    bcc: list[Address] = []
    subject: str | None = None
    substitutions: dict[str, str] = {}
    dynamic_template_data: dict[str, Any] = {}


class Content(BaseModel):
    type: str
    value: Annotated[str, Field(min_length=1)]


class Attachment(BaseModel):
    content: str
    filename: str
    type: str = "application/octet-stream"


class Mail(BaseModel):
    """The body of a request; fields that are not listed are taken and do nothing."""

    model_config = {"populate_by_name": True}

    sender: Annotated[Address, Field(alias="from")]
    personalizations: Annotated[list[Personalization], Field(min_length=1)]
    subject: str = ""
    content: list[Content] = []
    template_id: str | None = None
    attachments: list[Attachment] = []


def sendgrid_app(outbox: MailOutbox) -> FastAPI:
    """Answers 202 with `X-Message-Id`, or errors in SendGrid's shape."""
    app = FastAPI(title="Stand-in of SendGrid", openapi_url=None)

    @app.post("/v3/mail/send")
    async def send(request: Request) -> Response:
        if not request.headers.get("authorization", "").startswith("Bearer "):
            message = "The provided authorization grant is invalid, expired, or revoked"
            return _errors(401, [{"message": message, "field": None, "help": None}])
        try:
            mail = Mail.model_validate_json(await request.body())
        except ValidationError as error:
            found = [
                {"message": one["msg"], "field": ".".join(map(str, one["loc"])), "help": None}
                for one in error.errors()
            ]
            return _errors(400, found)
        if not mail.content and not mail.template_id:
            text = "Unless a valid template_id is provided, the content parameter is required."
            return _errors(400, [{"message": text, "field": "content", "help": None}])
        for person in mail.personalizations:
            everybody = [one.email for one in (*person.to, *person.cc, *person.bcc)]
            outbox.put(_message(mail, person), "sendgrid", mail.sender.email, everybody)
        return Response(status_code=202, headers={"x-message-id": secrets.token_urlsafe(16)})

    return app


def _errors(status: int, found: list[dict[str, Any]]) -> Response:
    return JSONResponse({"errors": found}, status)


def _message(mail: Mail, person: Personalization) -> EmailMessage:
    message = EmailMessage()
    message["From"] = mail.sender.email
    message["To"] = ", ".join(one.email for one in person.to)
    if person.cc:
        message["Cc"] = ", ".join(one.email for one in person.cc)
    message["Subject"] = person.subject or mail.subject
    contents = [(one.type, _filled(one.value, person.substitutions)) for one in mail.content]
    if mail.template_id:
        message["X-Template-Id"] = mail.template_id
        contents = contents or [("text/plain", json.dumps(person.dynamic_template_data))]
    for number, (kind, text) in enumerate(contents):
        subtype = kind.partition("/")[2] or "plain"
        if number == 0:
            message.set_content(text, subtype=subtype)
        else:
            message.add_alternative(text, subtype=subtype)
    for file in mail.attachments:
        major, _, minor = file.type.partition("/")
        data = base64.b64decode(file.content)
        message.add_attachment(data, maintype=major, subtype=minor, filename=file.filename)
    return message


def _filled(text: str, substitutions: dict[str, str]) -> str:
    for mark, value in substitutions.items():
        text = text.replace(mark, value)
    return text
