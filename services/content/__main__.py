"""`python -m services.content`: the web process."""

from __future__ import annotations

import sys

from services.content.app import build
from services.content.settings import PORT, ContentSettings
from shared.web.serve import run_service

if __name__ == "__main__":
    sys.exit(run_service(ContentSettings, build, port=PORT))
