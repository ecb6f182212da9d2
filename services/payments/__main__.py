"""`python -m services.payments`: the web process."""

from __future__ import annotations

import sys

from services.payments.app import build
from services.payments.settings import PORT, PaymentsSettings
from shared.web.serve import run_service

if __name__ == "__main__":
    sys.exit(run_service(PaymentsSettings, build, port=PORT))
