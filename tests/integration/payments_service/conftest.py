"""The payments service on real servers, with the reference provider or with Stripe's stand-in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import SecretStr

from services.payments.settings import PaymentsSettings, PaymentsWorkerSettings
from tests.support.people import STRIPE_SECRET
from tests.support.vendor_service import (
    common_values,
    database,
    dsn,
    process,
    role_dsn,
    stand_ins,
)

__all__ = ["common_values", "database", "dsn", "process", "role_dsn", "stand_ins"]


@pytest.fixture(scope="module")
def service() -> str:
    return "payments"


@pytest.fixture
def values(common_values: dict[str, Any]) -> dict[str, Any]:
    """What every process of the service is told."""
    return common_values | {
        "allowed_origins": ("https://app.example.com",),
        "webhook_secrets_stripe": (SecretStr(STRIPE_SECRET),),
    }


@pytest.fixture
def web_settings(values: dict[str, Any]) -> Callable[..., PaymentsSettings]:
    return lambda **changes: PaymentsSettings(**(values | changes))


@pytest.fixture
def worker_settings(values: dict[str, Any]) -> Callable[..., PaymentsWorkerSettings]:
    return lambda **changes: PaymentsWorkerSettings(**(values | changes))
