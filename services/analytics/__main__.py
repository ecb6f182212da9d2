"""`python -m services.analytics`: the web process."""

from __future__ import annotations

import sys

from services.analytics.app import build
from services.analytics.settings import PORT, AnalyticsSettings
from shared.web.serve import run_service

if __name__ == "__main__":
    sys.exit(run_service(AnalyticsSettings, build, port=PORT))
