"""Runs pg_dump and pg_restore without a password on the command line; knows no split."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from migrate.split.connection import without_secrets
from migrate.split.model import Endpoint, SplitError

#: Where distributions keep client programs of several versions side by side.
HOMES = ("/usr/lib/postgresql", "/usr/pgsql", "/opt/homebrew/opt", "/usr/local/opt")
#: Longest dump of a schema, in seconds; data dumps say their own.
SCHEMA_SECONDS = 300.0


class DumpFailedError(SplitError):
    """pg_dump or pg_restore failed; `output` is what it said."""

    def __init__(self, program: str, output: str) -> None:
        super().__init__(f"{program} failed: {output.strip()[-2000:]}")
        self.program = program
        self.output = output


@lru_cache(maxsize=1)
def client_programs() -> tuple[tuple[int, Path], ...]:
    """(major version, directory) of every pg_dump on this machine, newest first."""
    found: dict[Path, int] = {}
    on_path = shutil.which("pg_dump")
    candidates = [Path(on_path).resolve().parent] if on_path else []
    for home in map(Path, HOMES):
        if home.is_dir():
            candidates += [entry / "bin" for entry in home.iterdir()]
    for folder in candidates:
        if (folder / "pg_dump").exists() and (folder / "pg_restore").exists():
            if version := re.search(r"(\d+)", folder.parent.name):
                found[folder] = int(version[1])
            elif folder not in found:
                found[folder] = _ask_version(folder / "pg_dump")
    return tuple(sorted(((major, folder) for folder, major in found.items()), reverse=True))


def _ask_version(program: Path) -> int:
    import subprocess

    answer = subprocess.run([program, "--version"], capture_output=True, check=True, timeout=10)
    found = re.search(rb"(\d+)", answer.stdout)
    return int(found[1]) if found else 0


def find_client(program: str, server: int) -> Path:
    """The program of the newest version here; it must be as new as the server that is dumped."""
    for major, folder in client_programs()[:1]:
        if major >= server:
            return folder / program
    here = ", ".join(str(major) for major, _ in client_programs()) or "none"
    raise SplitError(
        f"{program} {server} or newer is needed on this machine (found: {here});"
        f" install postgresql-client-{server}"
    )


def connection_environment(endpoint: Endpoint) -> tuple[str, dict[str, str]]:
    """(address without password, environment with it) for a libpq program."""
    parts = urlsplit(endpoint.dsn)
    password = unquote(parts.password) if parts.password else ""
    netloc = parts.netloc
    if parts.password:
        user, _, rest = netloc.partition(":")
        netloc = f"{user}@{rest.rpartition('@')[2]}"
    environment = {
        key: value for key, value in os.environ.items() if key in ("PATH", "HOME", "LANG", "TMPDIR")
    }
    environment["PGAPPNAME"] = "strangler-split/dump"
    environment["PGOPTIONS"] = "-c row_security=off -c lock_timeout=10s"
    if password:
        environment["PGPASSWORD"] = password
    return urlunsplit(parts._replace(netloc=netloc)), environment


async def run_program(
    program: Path,
    arguments: Sequence[str],
    endpoint: Endpoint | None = None,
    *,
    seconds: float = SCHEMA_SECONDS,
    database_flag: str = "-d",
) -> bytes:
    """Standard output of one run; killed at the deadline; raises DumpFailedError."""
    environment = dict(os.environ)
    address: list[str] = []
    if endpoint is not None:
        url, environment = connection_environment(endpoint)
        address = [database_flag, url]
    process = await asyncio.create_subprocess_exec(
        program,
        *arguments,
        *address,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
    )
    try:
        async with asyncio.timeout(seconds):
            output, errors = await process.communicate()
    except BaseException as error:
        process.kill()
        await process.wait()
        if isinstance(error, TimeoutError):
            raise DumpFailedError(program.name, f"not finished after {seconds:g} s") from error
        raise
    if process.returncode != 0:
        text = errors.decode(errors="replace")
        raise DumpFailedError(program.name, without_secrets(text, endpoint) if endpoint else text)
    return output
