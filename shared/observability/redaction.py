"""Removes secrets from what is logged or reported; pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

REDACTED = "[redacted]"
_MAX_DEPTH = 6  # deeper values are cut: a log line is no dump

#: Parts of field names whose values are never written.
_SECRET_NAME = re.compile(
    r"password|passwd|secret|token|authorization|cookie|api[_-]?key|dsn|credential|signature"
    r"|otp|private|^code$|card|^http\.query$|^url\.query$|^query_string$",
    re.IGNORECASE,
)
_PATTERNS = (
    # JSON Web Tokens: three base64url parts, the first one starting with {"
    (re.compile(r"eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*"), REDACTED),
    (re.compile(r"(?i)\b(bearer|basic)\s+[^\s,;\"']+"), r"\1 " + REDACTED),
    # user:password@ in any URL
    (re.compile(r"(?i)([a-z][a-z0-9+.-]*://)[^/\s@]*:[^/\s@]*@"), r"\1" + REDACTED + "@"),
    # Stripe, webhook and Supabase keys
    (re.compile(r"\b(?:sk|rk|pk|whsec|sb_secret|sb_publishable)_[A-Za-z0-9_+/=-]{6,}"), REDACTED),
)
#: Names that look secret but are counts or ids of ours.
_HARMLESS = frozenset(
    {"tokens", "tokens_used", "token_count", "error_code", "status_code", "max_tokens"}
)


#: Every pattern above needs one of these, so most texts are let through by one quick search.
_SUSPICIOUS = re.compile(r"(?i)eyj|bearer|basic|://|_")


def redact_text(text: str) -> str:
    """The text without tokens, passwords in URLs and vendors' keys."""
    if _SUSPICIOUS.search(text) is None:
        return text
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def redact(value: Any, depth: int = 0) -> Any:
    """A copy of a value with every secret in it replaced, looking into mappings and lists."""
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, bytes):
        return f"[{len(value)} bytes]"
    if depth >= _MAX_DEPTH:
        return "[...]"
    if isinstance(value, Mapping):
        return {
            str(name): REDACTED if is_secret_name(str(name)) else redact(item, depth + 1)
            for name, item in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [redact(item, depth + 1) for item in value]
    return value


@lru_cache(maxsize=1024)
def is_secret_name(name: str) -> bool:
    """Whether a field of this name is never written."""
    return name not in _HARMLESS and _SECRET_NAME.search(name) is not None
