"""`python -m services.content`: the web process."""

from __future__ import annotations

import sys

from services.content.app import build
from services.content.settings import PORT, ContentSettings
from shared.errors import OperatorError
from shared.settings import load_settings
from shared.web.serve import serve


def main() -> int:
    """Serve until SIGTERM; 2 when settings or manifest cannot be used."""
    try:
        settings = load_settings(ContentSettings, port=PORT)
        app = build(settings)
    except OperatorError as error:
        sys.stderr.write(f"{error.message}\n")
        return 2
    serve(app, settings)
    return 0


if __name__ == "__main__":
    sys.exit(main())
