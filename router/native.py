"""Compiles the hot modules with mypyc into a folder of their own; plain Python stays the fallback.

`python -m router.native` copies `router` and `shared` to `.native` (or to the folder named) and compiles in the
copy. `python -m router` then starts from there, as long as the copy was made from the very sources beside it:
compiled code that is older than them never runs. It needs mypy and a C compiler at build time only, and serves
a request in half the CPU time of plain Python.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping
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


#: Says what a copy was made from.
STAMP = "native.json"
_ROOT = Path(__file__).resolve().parents[1]
_PACKAGES = ("router", "shared")


class NativeBuildError(RuntimeError):
    """The modules could not be compiled; the message has the end of the compiler's output."""


def default_folder(environment: Mapping[str, str], root: Path = _ROOT) -> Path:
    """Where the compiled copy is: `ROUTER_NATIVE`, else `.native` beside the packages."""
    return Path(environment.get("ROUTER_NATIVE") or root / ".native")


def stamp_of(root: Path) -> dict[str, str]:
    """What a copy of the packages below `root` depends on: every file, and this interpreter."""
    digest = hashlib.sha256()
    for package in _PACKAGES:
        for source in sorted((root / package).rglob("*")):
            if source.is_file() and source.suffix not in {".pyc", ".so"}:
                name = str(source.relative_to(root)).encode()
                digest.update(name + b"\0" + source.read_bytes() + b"\0")
    return {"sources": digest.hexdigest(), "python": str(sysconfig.get_config_var("EXT_SUFFIX"))}


def is_current(folder: Path, root: Path = _ROOT) -> bool:
    """Whether a folder has a compiled copy of exactly these sources, for this interpreter."""
    try:
        found = json.loads((folder / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(found == stamp_of(root))


def is_compiled() -> bool:
    """Whether this process runs from a compiled copy."""
    return (_ROOT / STAMP).exists()


def native_start(environment: Mapping[str, str]) -> tuple[list[str], dict[str, str]] | None:
    """Arguments and environment of the same router from its compiled copy; None without a current one.

    `ROUTER_NATIVE=off` asks for plain Python. A process that runs from the copy finds no second one.
    """
    if environment.get("ROUTER_NATIVE") == "off":
        return None
    folder = default_folder(environment).resolve()
    if folder == _ROOT or not is_current(folder):
        return None
    path = os.pathsep.join(filter(None, (str(folder), environment.get("PYTHONPATH", ""))))
    # Safe path: the working folder has the plain packages, which would be found first.
    fresh = {**environment, "PYTHONPATH": path, "PYTHONSAFEPATH": "1", "ROUTER_NATIVE": "off"}
    return [sys.executable, "-m", "router"], fresh


def build(target: Path, modules: tuple[str, ...] = HOT_MODULES) -> None:
    """Copy the packages to `target` and compile there; a copy that is there already is replaced."""
    target.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".native-", dir=target.parent))
    try:
        for package in _PACKAGES:
            ignored = shutil.ignore_patterns("__pycache__", "*.so")
            shutil.copytree(_ROOT / package, work / package, ignore=ignored)
        stamp = stamp_of(work)  # of the copy: the sources may change while the compiler runs
        _compile(work, modules)
        (work / STAMP).write_text(json.dumps(stamp) + "\n", encoding="utf-8")
        work.chmod(0o755)
        shutil.rmtree(target, ignore_errors=True)
        work.rename(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _compile(work: Path, modules: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _SETUP, ",".join(modules), "-q", "build_ext", "--inplace"],
        cwd=work,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    shutil.rmtree(work / "build", ignore_errors=True)
    if done.returncode != 0:
        raise NativeBuildError(
            "the router could not be compiled (it runs as plain Python all the same; mypy and a C"
            f" compiler are needed to compile it):\n{(done.stdout + done.stderr)[-2000:]}"
        )


def main(arguments: list[str]) -> int:
    """The command; its exit code."""
    if len(arguments) > 1 or (arguments and arguments[0].startswith("-")):
        print("usage: python -m router.native [FOLDER]", file=sys.stderr)
        return 2
    target = Path(arguments[0]) if arguments else default_folder(os.environ)
    if is_current(target):
        print(f"{target} is a compiled copy of these sources already")
        return 0
    if target.exists() and any(target.iterdir()) and not (target / STAMP).exists():
        print(f"{target} is something else; name a folder that may be replaced", file=sys.stderr)
        return 2
    try:
        build(target)
    except NativeBuildError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"compiled {len(HOT_MODULES)} modules to {target}; `python -m router` starts from there")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
