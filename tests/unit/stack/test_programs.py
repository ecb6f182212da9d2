"""Finding and installing the servers' programs."""

from __future__ import annotations

from pathlib import Path

import pytest

from migrate.stack import install, programs
from migrate.stack.errors import ProgramMissingError


def _postgres(root: Path, version: str) -> Path:
    home = root / version / "bin"
    home.mkdir(parents=True)
    for name in ("postgres", "initdb"):
        (home / name).touch(mode=0o755)
    return home


def test_the_newest_postgresql_is_taken_and_a_too_old_one_never(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "POSTGRES_HOMES", (str(tmp_path),))
    _postgres(tmp_path, "13")
    assert programs.find_postgres("/nowhere") is None
    _postgres(tmp_path, "15")
    newest = _postgres(tmp_path, "17")
    (tmp_path / "18" / "bin").mkdir(parents=True)  # client programs only
    assert programs.find_postgres("/nowhere") == newest


def test_a_missing_server_is_named() -> None:
    found = programs.Programs(postgres=Path("/p"), redis=None, rabbitmq=Path("/r"), epmd=None)
    assert found.missing == ("redis", "rabbitmq")


def test_without_apt_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ProgramMissingError) as caught:
        install.apt_install(["redis-server"], install.URLS_HINT)
    assert "STACK_REDIS_URL" in str(caught.value.hint)


def test_without_root_and_sudo_the_error_gives_the_line_to_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "apt-get").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(ProgramMissingError) as caught:
        install.apt_install(["redis-server"])
    assert caught.value.hint == "as root: apt-get install redis-server"


def test_a_listed_program_that_exists_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def note(packages: list[str]) -> list[str]:
        asked.extend(packages)
        return []

    monkeypatch.setattr(install, "apt_install", note)
    monkeypatch.setattr(install, "disable_unit", lambda _prefix, unit: asked.append(unit))
    text = "# why\nsh dash dash.service\n\nno-such-program its-package its.service  # for X\n"
    (tmp_path / "list.txt").write_text(text)
    install.ensure_listed(tmp_path / "list.txt")
    assert asked == ["its-package", "its.service"]
