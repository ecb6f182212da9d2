"""Microsoft's emulator of Azure Blob Storage as a process of the tests' own; installed once by npm."""

from __future__ import annotations

import base64
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.served_app import free_port

HERE = Path(__file__).parent
INSTALL_SECONDS = 300
START_SECONDS = 60.0
ACCOUNT = "tests"
KEY = base64.b64encode(b"a key of the tests for the emulator").decode()


@contextmanager
def running_azurite(folder: Path) -> Iterator[str]:
    """A connection string of the emulator, which keeps its files in `folder`."""
    environment = _environment()
    _install(environment)
    node = shutil.which("node", path=environment["PATH"])
    assert node is not None
    program = HERE / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
    port = free_port()
    command = [node, str(program), "--blobHost", "127.0.0.1", "--blobPort", str(port)]
    command += [
        "--location",
        str(folder),
        "--silent",
        "--skipApiVersionCheck",
        "--disableTelemetry",
    ]
    child = subprocess.Popen(
        command,
        cwd=folder,
        env={**environment, "AZURITE_ACCOUNTS": f"{ACCOUNT}:{KEY}"},
        stdout=subprocess.DEVNULL,
        start_new_session=True,  # `node` of the wheel is a script that starts the program
    )
    try:
        _wait_until_open(port, child)
        endpoint = f"http://127.0.0.1:{port}/{ACCOUNT}"
        yield (
            f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};"
            f"BlobEndpoint={endpoint};"
        )
    finally:
        os.killpg(child.pid, signal.SIGTERM)
        child.wait(timeout=20)


def _environment() -> dict[str, str]:
    """Node of the development dependencies comes first."""
    folder = str(Path(sys.executable).parent)
    return {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


def _install(environment: dict[str, str]) -> None:
    with (HERE / "package.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # processes of one test run install once
        if (HERE / "node_modules" / ".package-lock.json").exists():
            return
        npm = shutil.which("npm", path=environment["PATH"])
        assert npm is not None
        subprocess.run(
            [npm, "ci", "--silent", "--no-audit", "--no-fund"],
            cwd=HERE,
            env=environment,
            check=True,
            timeout=INSTALL_SECONDS,
        )


def _wait_until_open(port: int, child: subprocess.Popen[bytes]) -> None:
    ends = time.monotonic() + START_SECONDS
    while time.monotonic() < ends:
        assert child.poll() is None, "the emulator ended at its start"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError(f"the emulator does not listen on {port}")
