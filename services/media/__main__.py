"""`python -m services.media`: the web process."""

from __future__ import annotations

import sys

from services.media.app import build
from services.media.settings import PORT, MediaSettings
from shared.web.serve import run_service

if __name__ == "__main__":
    sys.exit(run_service(MediaSettings, build, port=PORT))
