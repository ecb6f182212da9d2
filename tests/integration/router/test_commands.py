"""Commands beside the router itself: the probe, and compiling the hot modules."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from router.native import HOT_MODULES, NativeBuildError, build
from router.probe import main as probe
from tests.integration.router.harness import App, serve_ok


async def test_the_probe_says_whether_an_app_can_be_reached(
    capsys: pytest.CaptureFixture[str],
) -> None:
    app = App("monolith", serve_ok)
    await app.start()
    assert await asyncio.to_thread(probe, [f"{app.url}/readyz"]) == 0
    assert f"{app.url}/readyz: 200 in" in capsys.readouterr().out
    await app.stop()
    assert await asyncio.to_thread(probe, ["http://127.0.0.1:1/"]) == 1
    assert await asyncio.to_thread(probe, ["nonsense"]) == 2


def test_a_module_is_compiled_in_a_copy_and_found_there(tmp_path: Path) -> None:
    target = tmp_path / "native"
    build(target, ("router/frames.py",))
    out = subprocess.run(
        [
            sys.executable,
            "-P",
            "-c",
            "import router.frames, router.chunked as c; print(router.frames.__file__, c.__file__)",
        ],
        env={"PYTHONPATH": str(target), "PATH": os.environ["PATH"]},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    compiled, plain = out.stdout.split()
    assert compiled.startswith(str(target / "router" / "frames."))
    assert compiled.endswith(".so")
    assert plain == str(target / "router" / "chunked.py")


def test_a_failed_build_says_so_and_every_hot_module_exists(tmp_path: Path) -> None:
    assert all(Path(module).is_file() for module in HOT_MODULES)
    with pytest.raises(NativeBuildError, match="runs as plain Python all the same"):
        build(tmp_path / "broken", ("router/missing.py",))
