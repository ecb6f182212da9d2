"""Commands beside the router itself: the probe, and compiling the hot modules."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from router.native import HOT_MODULES, STAMP, NativeBuildError, build, native_start
from router.native import main as compile_native
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


def test_the_router_starts_from_a_compiled_copy_of_its_very_sources_only(tmp_path: Path) -> None:
    target = tmp_path / "native"
    build(target, ("router/frames.py",))
    chosen = {"ROUTER_NATIVE": str(target), "PATH": os.environ["PATH"]}
    start = native_start(chosen)
    assert start is not None
    argv, environment = start
    assert argv == [sys.executable, "-m", "router"]
    out = subprocess.run(
        [
            argv[0],
            "-c",
            "import router.frames, router.chunked as c, router.native as n;"
            "print(router.frames.__file__, c.__file__, n.is_compiled())",
        ],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    compiled, plain, is_compiled = out.stdout.split()
    assert compiled.startswith(str(target / "router" / "frames."))
    assert compiled.endswith(".so")
    assert (plain, is_compiled) == (str(target / "router" / "chunked.py"), "True")
    assert native_start(environment) is None, "the copy would start itself for ever"
    assert native_start(chosen | {"ROUTER_NATIVE": "off"}) is None
    stamp = json.loads((target / STAMP).read_text())
    (target / STAMP).write_text(json.dumps(stamp | {"sources": "of last week"}))
    assert native_start(chosen) is None, "compiled code that is older than its sources never runs"


def test_a_failed_build_says_so_and_leaves_nothing_behind(tmp_path: Path) -> None:
    assert all(Path(module).is_file() for module in HOT_MODULES)
    with pytest.raises(NativeBuildError, match="runs as plain Python all the same"):
        build(tmp_path / "broken", ("router/missing.py",))
    assert not list(tmp_path.iterdir())


def test_compiling_replaces_nothing_that_is_not_a_compiled_copy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.txt").write_text("keep me")
    assert compile_native([str(tmp_path)]) == 2
    assert "something else" in capsys.readouterr().err
    assert (tmp_path / "notes.txt").read_text() == "keep me"
    assert compile_native(["--help"]) == 2
