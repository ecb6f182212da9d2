"""`python -m services.chat`: the web process."""

from __future__ import annotations

import sys

from services.chat.app import build
from services.chat.settings import PORT, ChatSettings
from shared.web.serve import run_service

if __name__ == "__main__":
    sys.exit(run_service(ChatSettings, build, port=PORT))
