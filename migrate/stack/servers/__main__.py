"""Private servers from the command line, for test runs and scripts.

`python -m migrate.stack.servers start DIRECTORY OWNER_PID` starts what does not run and prints the addresses
as JSON; everything ends when the owner does, or by `python -m migrate.stack.servers remove DIRECTORY`.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from dataclasses import asdict
from pathlib import Path

from migrate.stack.errors import StackError
from migrate.stack.install import ensure_programs
from migrate.stack.lock import exclusive
from migrate.stack.servers.private import READY_SECONDS, PrivateServers

INSTALL_SECONDS = 900.0


async def start(directory: Path, owner_pid: int) -> str:
    """Start the servers (programs are installed if need be) and return their addresses as JSON."""
    async with exclusive(directory / "start.lock", INSTALL_SECONDS + READY_SECONDS):
        programs = await asyncio.to_thread(ensure_programs)
        servers = PrivateServers(directory, durable=False, owner_pid=owner_pid, programs=programs)
        return json.dumps(asdict(await servers.start_all()))


async def remove(directory: Path) -> None:
    """Stop the servers of a directory and delete it."""
    servers = PrivateServers(directory)
    await servers.close()
    servers.wipe()
    await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)


def main(arguments: list[str]) -> int:
    try:
        match arguments:
            case ["start", directory, owner_pid]:
                print(asyncio.run(start(Path(directory), int(owner_pid))))
            case ["remove", directory]:
                asyncio.run(remove(Path(directory)))
            case _:
                print(__doc__, file=sys.stderr)
                return 2
    except StackError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
