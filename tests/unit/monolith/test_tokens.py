"""Bearer values: the shared vectors, read by the old API's own reader."""

from __future__ import annotations

import time
import uuid

import pytest

from monolith.errors import ApiError
from monolith.tokens import ServiceToken, Tokens, UserToken
from tests.support.auth_vectors import ISSUER, SECRETS, Vector, vectors

USER = uuid.UUID("0b8e0ad6-6c1d-4f3a-9f0e-6f2d6a1c7f10")
ACCEPTED = (SECRETS["secret"].decode(), SECRETS["second"].decode())


def _read(vector: Vector, issuer: str | None) -> str:
    now = time.time()
    try:
        token = Tokens(ACCEPTED, issuer).read(vector.token(USER, now), now)
    except ApiError as error:
        return error.code
    return "service" if isinstance(token, ServiceToken) else "user"


@pytest.mark.parametrize("vector", vectors("local"), ids=lambda vector: vector.name)
def test_without_an_issuer_a_token_means_what_the_vectors_say(vector: Vector) -> None:
    assert _read(vector, None) == vector.expect


@pytest.mark.parametrize("vector", vectors("named"), ids=lambda vector: vector.name)
def test_with_an_issuer_a_token_means_what_the_vectors_say(vector: Vector) -> None:
    assert _read(vector, ISSUER) == vector.expect


def test_what_was_signed_is_read_back() -> None:
    tokens = Tokens(ACCEPTED, ISSUER)
    now = time.time()
    claims = {
        "iss": ISSUER,
        "sub": str(USER),
        "aud": "authenticated",
        "role": "authenticated",
        "exp": int(now) + 60,
        "email": "a@example.com",
        "session_id": str(USER),
        "app_metadata": {"tier": 2, "provider": "google"},
        "user_metadata": {"name": "Ana"},
    }
    assert tokens.read(tokens.sign(claims), now) == UserToken(
        USER, "a@example.com", "Ana", "google", USER
    )
