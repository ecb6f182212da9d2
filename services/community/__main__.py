"""`python -m services.community`: the web process."""

from __future__ import annotations

import sys

from services.community.app import build
from services.community.settings import PORT, CommunitySettings
from shared.web.serve import run_service

if __name__ == "__main__":
    sys.exit(run_service(CommunitySettings, build, port=PORT))
