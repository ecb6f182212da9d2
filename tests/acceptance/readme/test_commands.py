"""The README's command blocks, typed in their order by one shell, do what the page says."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# `make demo` has a test of its own, the others are what runs this test.
RUN_ELSEWHERE = re.compile(r"^make (demo|test|lint)$", re.MULTILINE)


def command_blocks() -> list[str]:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    return [RUN_ELSEWHERE.sub("true", block[1]) for block in BLOCK.finditer(text)]


@pytest.mark.timeout(600)
def test_every_command_block_of_the_readme_works(tmp_path: Path) -> None:
    blocks = command_blocks()
    assert any("make up" in block for block in blocks)
    script = "set -eu -o pipefail\n" + "\n".join(
        f"echo '== block {number}'\n{block}" for number, block in enumerate(blocks, start=1)
    )
    result = subprocess.run(
        ["bash", "-c", script],
        cwd=REPOSITORY,
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("STACK_")},
            "STACK_DIRECTORY": str(tmp_path / "stack"),
            "STACK_PUBLIC_PORT": "0",
            "STACK_OWNER_PID": os.environ["STRANGLER_TEST_RUN"],
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=580,
        check=False,
    )
    assert result.returncode == 0, f"{result.stdout[-3000:]}\n{result.stderr[-3000:]}"
    assert f"== block {len(blocks)}" in result.stdout
    assert '"items"' in result.stdout  # the search through the router was answered
    assert not (tmp_path / "stack" / "supervisor.json").exists()  # `make down` left nothing running
