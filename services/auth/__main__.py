"""`python -m services.auth`: the web process."""

from __future__ import annotations

import sys

from services.auth.app import build
from services.auth.settings import PORT, AuthSettings
from shared.web.serve import run_service

if __name__ == "__main__":
    sys.exit(run_service(AuthSettings, build, port=PORT))
