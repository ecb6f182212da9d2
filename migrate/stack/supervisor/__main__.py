"""Start of the supervisor process: `python -m migrate.stack.supervisor RECORD SOCKET [OWNER_PID]`.

The started process forks and ends at once, so that the supervisor is nobody's child: it outlives the command
that asked for it and leaves no zombie there.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from migrate.stack.process_tree import ProcessIdentity, identify
from migrate.stack.supervisor.daemon import Supervisor


def main(arguments: list[str]) -> int:
    record_path, socket_path = Path(arguments[0]), Path(arguments[1])
    owner: ProcessIdentity | None = None
    if len(arguments) > 2:
        owner = identify(int(arguments[2]))
        if owner is None:
            print(f"the owner, process {arguments[2]}, is gone", file=sys.stderr)
            return 1
    if os.fork() == 0:
        asyncio.run(Supervisor(record_path, socket_path, owner).run())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
