"""The ring on a real host is only there when one is named: DOKKU_TEST_HOST=[user@]host[:port]."""

from __future__ import annotations

import os

collect_ignore = [] if os.environ.get("DOKKU_TEST_HOST") else ["test_real_host.py"]
