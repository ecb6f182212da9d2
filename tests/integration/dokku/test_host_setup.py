"""The host set-up script: installs what is missing, updates what is old, and does nothing twice."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "dokku" / "host-setup.sh"
#: A `dokku` that writes down what it is asked, makes plugin folders, and knows keys.
DOKKU = """#!/bin/bash
echo "$*" >> "$LOG"
case "$1" in
  version) echo "dokku version 0.38.27" ;;
  plugin:install) mkdir -p "$DOKKU_LIB_ROOT/plugins/available/$6" ;;
  ssh-keys:list) grep -qx "$2" "$LOG.keys" 2>/dev/null ;;
  ssh-keys:add) cat > /dev/null; echo "$2" >> "$LOG.keys" ;;
esac
"""


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder that looks like a host to the script."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (("dokku", DOKKU), ("id", "#!/bin/sh\necho 0\n")):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    return tmp_path


def run(machine: Path, *words: str) -> list[str]:
    """What the script asked of Dokku, without questions."""
    log = machine / "log"
    log.unlink(missing_ok=True)
    done = subprocess.run(
        ["bash", str(SCRIPT), *words],
        env={
            "PATH": f"{machine}/bin:{os.environ['PATH']}",
            "LOG": str(log),
            "DOKKU_LIB_ROOT": str(machine / "lib"),
        },
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [
        line
        for line in log.read_text().splitlines()
        if not line.startswith(("version", "ssh-keys:list"))
    ]


def test_plugins_are_installed_once_at_their_pinned_versions(machine: Path) -> None:
    lines = run(machine)
    assert [line.split()[0] for line in lines].count("plugin:install") == 5
    assert (
        "plugin:install https://github.com/dokku/dokku-postgres.git --committish 1.48.0"
        " --name postgres" in lines
    )
    assert lines[-1] == "apps:set --global disable-autocreation true"
    assert run(machine) == ["apps:set --global disable-autocreation true"]


def test_another_version_is_updated_and_not_installed_again(machine: Path) -> None:
    run(machine)
    (machine / "lib/plugins/available/redis/.pinned").write_text("1.0.0\n")
    assert run(machine)[0] == "plugin:update redis 1.43.0"


def test_a_key_is_added_once(machine: Path) -> None:
    assert run(machine, "deploy", "ssh-ed25519 AAAA")[-1] == "ssh-keys:add deploy"
    assert "ssh-keys:add deploy" not in run(machine, "deploy", "ssh-ed25519 AAAA")


def test_it_says_that_it_needs_root(machine: Path) -> None:
    (machine / "bin" / "id").write_text("#!/bin/sh\necho 1000\n")
    done = subprocess.run(
        ["bash", str(SCRIPT)], env={"PATH": f"{machine}/bin:{os.environ['PATH']}"},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert "run this as root" in done.stderr
