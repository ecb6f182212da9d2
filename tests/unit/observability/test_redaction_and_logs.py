"""Logs: one JSON line each, ids of the request, and no secret whatever is logged."""

from __future__ import annotations

import io
import json
import logging
from typing import Any

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.observability.context import (
    accept_request_id,
    accept_traceparent,
    current_request_id,
    current_traceparent,
    request_scope,
)
from shared.observability.logs import configure_logs
from shared.observability.redaction import REDACTED, redact, redact_text

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"


@pytest.fixture
def output() -> Any:
    stream = io.StringIO()
    root = logging.getLogger()
    before = root.handlers[:], root.level
    configure_logs("info", service="sample", stream=stream)
    yield stream
    root.handlers, root.level = before
    structlog.reset_defaults()


def _lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"token {JWT} given", JWT),
        ("Authorization: Bearer abc.def", "abc.def"),
        ("bearer abcdef", "abcdef"),
        ("postgresql://user:hunter2@db/x", "hunter2"),
        ("redis://:hunter2@cache", "hunter2"),
        ("key sk_live_abcdefgh used", "sk_live_abcdefgh"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        ("sb_secret_abcdefghijk", "abcdefghijk"),
    ],
)
def test_secrets_are_taken_out_of_texts(text: str, secret: str) -> None:
    assert secret not in redact_text(text)
    assert REDACTED in redact_text(text)


def test_fields_with_secret_names_are_never_written() -> None:
    found = redact(
        {
            "password": "a", "refresh_token": "b", "Authorization": "c", "headers": {"cookie": "d"},
            "jwt_secret": "e", "otp": "f", "list": [{"api_key": "g"}], "DSN": "h",
            "tokens_used": 7, "tokens": 3, "status_code": 200, "user_id": "u",
        }
    )  # fmt: skip
    assert found == {
        "password": REDACTED, "refresh_token": REDACTED, "Authorization": REDACTED,
        "headers": {"cookie": REDACTED}, "jwt_secret": REDACTED, "otp": REDACTED,
        "list": [{"api_key": REDACTED}], "DSN": REDACTED,
        "tokens_used": 7, "tokens": 3, "status_code": 200, "user_id": "u",
    }  # fmt: skip


@settings(max_examples=50)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text() | st.binary(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_value_can_be_redacted_and_written(value: Any) -> None:
    json.dumps(redact(value))


def test_a_line_has_the_ids_of_its_request(output: io.StringIO) -> None:
    log = structlog.get_logger("x")
    with request_scope("r-1", TRACE):
        assert (current_request_id(), current_traceparent()) == ("r-1", TRACE)
        log.info("inside", password="hunter2", url="amqp://u:hunter2@h")
    log.info("outside")
    inside, outside = _lines(output)
    assert inside["request_id"] == "r-1"
    assert inside["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    assert inside["service"] == "sample"
    assert inside["level"] == "info"
    assert inside["time"].endswith("Z")
    assert "hunter2" not in output.getvalue()
    assert "request_id" not in outside
    assert current_request_id() is None


def test_the_standard_library_writes_the_same_lines(output: io.StringIO) -> None:
    with request_scope("r-2"):
        logging.getLogger("some.library").warning("token %s", JWT)
    logging.getLogger("uvicorn.error").info("chatter")
    (line,) = _lines(output)
    assert (line["request_id"], line["level"]) == ("r-2", "warning")
    assert JWT not in line["event"]


def test_an_exception_is_one_line_without_secrets(output: io.StringIO) -> None:
    error = RuntimeError("cannot reach redis://:hunter2@h")
    structlog.get_logger("x").error("failed", exc_info=error)
    (line,) = _lines(output)
    assert "RuntimeError" in line["exception"]
    assert "hunter2" not in output.getvalue()


@given(st.text(max_size=80))
def test_an_offered_request_id_is_taken_or_replaced(offered: str) -> None:
    taken = accept_request_id(offered)
    assert 1 <= len(taken) <= 64
    assert taken.isascii()


@pytest.mark.parametrize(
    ("offered", "is_taken"),
    [
        (TRACE, True), (None, False), ("", False), (TRACE + "-x", False), (TRACE.upper(), False),
        ("00-" + "0" * 32 + "-b7ad6b7169203331-01", False),
        ("00-0af7651916cd43dd8448eb211c80319c-" + "0" * 16 + "-01", False),
    ],
)  # fmt: skip
def test_only_a_well_formed_trace_is_taken(offered: str | None, is_taken: bool) -> None:
    assert (accept_traceparent(offered) is not None) is is_taken
