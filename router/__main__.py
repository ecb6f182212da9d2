"""`python -m router`: the router, from its compiled copy where there is a current one."""

from __future__ import annotations

import os
import sys

from router.native import native_start


def _go_on_compiled() -> None:
    """Replace this process by the same router from its compiled copy, when there is a current one."""
    start = native_start(os.environ)
    if start is not None:
        argv, environment = start
        os.execve(argv[0], argv, environment)  # noqa: S606 - the interpreter itself, no shell


if __name__ == "__main__":
    _go_on_compiled()
    from router.start import main  # only now: what it imports takes most of a second

    sys.exit(main())
