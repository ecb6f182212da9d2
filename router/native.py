"""Compiles the hot modules with mypyc into a folder of their own; plain Python stays the fallback.

`python -m router.native FOLDER` copies `router` and `shared` there and compiles in the copy, so sources and
compiled code can never differ. Start it with `PYTHONPATH=FOLDER python -P -m router`. It needs mypy and a C
compiler at build time only, and serves about half as much CPU time per request as plain Python.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

#: Everything that runs once or more per request.
HOT_MODULES = (
    "router/access_log.py", "router/addresses.py", "router/answer_reader.py",
    "router/answer_writer.py", "router/attempts.py",
    "router/chunked.py", "router/client_limits.py", "router/request_reader.py",
    "router/client_connection.py", "router/decider.py", "router/dispatch.py",
    "router/ejection.py", "router/exchange.py",
    "router/failure.py", "router/forwarding.py", "router/frames.py", "router/header_block.py",
    "router/held_stream.py", "router/hold.py", "router/metrics.py", "router/modes.py",
    "router/outgoing.py", "router/replies.py", "router/request_body.py", "router/request_head.py",
    "router/request_ids.py", "router/response_head.py", "router/retry.py", "router/routing.py",
    "router/seams.py", "router/sweeper.py", "router/trust.py", "router/tunnel.py", "router/upstream_connection.py",
    "router/upstreams.py", "shared/routing/decision.py", "shared/routing/paths.py",
    "shared/routing/routes.py", "shared/routing/sticky.py",
)  # fmt: skip
#: Time for copying and compiling, in seconds; it takes about half a minute on one core.
TIMEOUT_SECONDS = 600
_SETUP = """
import sys
from mypyc.build import mypycify
from setuptools import setup

options = ["--ignore-missing-imports", "--follow-imports=silent", "--config-file="]
modules = sys.argv.pop(1).split(",")
setup(name="native", packages=[], ext_modules=mypycify([*options, *modules], opt_level="3"))
"""


class NativeBuildError(RuntimeError):
    """The modules could not be compiled; the message has the end of the compiler's output."""


def build(target: Path, modules: tuple[str, ...] = HOT_MODULES) -> None:
    """Copy the packages to `target`, a folder that does not exist yet, and compile there."""
    root = Path(__file__).resolve().parents[1]
    for package in ("router", "shared"):
        shutil.copytree(
            root / package, target / package, ignore=shutil.ignore_patterns("__pycache__", "*.so")
        )
    done = subprocess.run(
        [sys.executable, "-c", _SETUP, ",".join(modules), "-q", "build_ext", "--inplace"],
        cwd=target,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    shutil.rmtree(target / "build", ignore_errors=True)
    if done.returncode != 0:
        raise NativeBuildError(
            "the router could not be compiled (it runs as plain Python all the same; mypy and a C"
            f" compiler are needed to compile it):\n{(done.stdout + done.stderr)[-2000:]}"
        )


def main(arguments: list[str]) -> int:
    """The command; its exit code."""
    if len(arguments) != 1:
        print("usage: python -m router.native FOLDER", file=sys.stderr)
        return 2
    target = Path(arguments[0])
    if target.exists():
        print(f"{target} exists already; remove it or name another folder", file=sys.stderr)
        return 2
    try:
        build(target)
    except NativeBuildError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"compiled {len(HOT_MODULES)} modules; start: PYTHONPATH={target} python -P -m router")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
