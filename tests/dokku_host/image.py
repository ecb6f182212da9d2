"""Carries out a Dockerfile's steps in a plain folder: COPY by the rules of .dockerignore, RUN for real.

Enough to find a COPY without a source and a dependency that is missing; no isolation whatsoever.
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

#: Steps that change a whole machine; their effect is not needed in a folder.
MACHINE = ("useradd", "apt-get")


class StepFailedError(Exception):
    """A step of the Dockerfile does not work."""


@dataclass
class Stage:
    """One build stage: its files, its environment and what it would start."""

    root: Path
    env: dict[str, str] = field(default_factory=dict)
    workdir: str = "/"
    command: list[str] = field(default_factory=list)
    user: str = "root"

    def place(self, path: str) -> Path:
        """A path of the image as a path of this machine."""
        inside = path if path.startswith("/") else f"{self.workdir.rstrip('/')}/{path}"
        return self.root / inside.lstrip("/")

    def environment(self) -> dict[str, str]:
        """For a process in this stage."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}
        env = {name: self.localized(value) for name, value in self.env.items()}
        path = os.pathsep.join(filter(None, (env.get("PATH", ""), os.environ["PATH"])))
        return {**kept, **env, "PATH": path}

    def localized(self, text: str) -> str:
        """Absolute paths of the image as those of this machine."""
        return re.sub(r"(?<![\w./])/(opt|app)(?=/|\b)", rf"{self.root}/\1", text)


class Ignored:
    """The patterns of .dockerignore."""

    def __init__(self, text: str) -> None:
        self._patterns = [line.strip() for line in text.splitlines() if line.strip()]
        self._patterns = [pattern for pattern in self._patterns if not pattern.startswith("#")]

    def __call__(self, path: str) -> bool:
        parts = path.split("/")
        return any(
            fnmatch.fnmatch("/".join(parts[start:end]), pattern.removeprefix("**/"))
            for pattern in self._patterns
            for start in (range(len(parts)) if pattern.startswith("**/") else (0,))
            for end in range(start + 1, len(parts) + 1)
        )


def build(dockerfile: Path, context: Path, folder: Path) -> Stage:
    """Run all steps; the last stage. Raises StepFailedError with the step."""
    ignored = Ignored((context / ".dockerignore").read_text())
    stages: dict[str, Stage] = {}
    stage: Stage | None = None
    for number, (word, rest) in enumerate(_instructions(dockerfile.read_text())):
        if word == "FROM":
            name = rest.partition(" AS ")[2] or f"stage{number}"
            stage = stages[name] = Stage(folder / name)
            stage.root.mkdir(parents=True)
            continue
        assert stage is not None, "a Dockerfile begins with FROM"
        try:
            _step(stage, stages, word, rest, context, ignored)
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            raise StepFailedError(f"{word} {rest}: {error}") from error
    assert stage is not None
    return stage


def _instructions(text: str) -> list[tuple[str, str]]:
    plain = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE)
    lines = re.sub(r"\\\n", " ", plain).splitlines()
    return [(w, r.strip()) for w, _, r in (line.partition(" ") for line in lines) if w]


def _step(
    stage: Stage,
    stages: dict[str, Stage],
    word: str,
    rest: str,
    context: Path,
    ignored: Ignored,
) -> None:
    if word in {"ENV", "ARG"}:
        for part in shlex.split(rest):
            name, _, value = part.partition("=")
            stage.env[name] = value.replace("$PATH", stage.env.get("PATH", "")).strip(":")
    elif word == "WORKDIR":
        stage.workdir = rest
        stage.place(rest).mkdir(parents=True, exist_ok=True)
    elif word == "USER":
        stage.user = rest
    elif word == "CMD":
        stage.command = json.loads(rest)
    elif word == "COPY":
        _copy(stage, stages, shlex.split(rest), context, ignored)
    elif word == "RUN":
        _run(stage, rest)
    else:
        raise ValueError("this builder does not know the instruction")


def _copy(
    stage: Stage, stages: dict[str, Stage], words: list[str], context: Path, ignored: Ignored
) -> None:
    flags = [word for word in words if word.startswith("--")]
    *sources, target = [word for word in words if word not in flags]
    for source in sources:
        if flags:
            name = flags[0].removeprefix("--from=")
            stage.place(target).parent.mkdir(parents=True, exist_ok=True)
            subprocess.run(
                ["cp", "-al", str(stages[name].place(source)), str(stage.place(target))], check=True
            )
            continue
        found = context / source
        if not found.exists() or ignored(source.rstrip("/")):
            raise FileNotFoundError(f"{source} is not in the build context")
        place = stage.place(target)
        if found.is_dir():
            _copy_folder(found, place, context, ignored)
        else:
            place = place / found.name if target.endswith("/") else place
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(found, place)


def _copy_folder(found: Path, place: Path, context: Path, ignored: Ignored) -> None:
    for path in sorted(found.rglob("*")):
        if path.is_file() and not ignored(path.relative_to(context).as_posix()):
            inside = place / path.relative_to(found)
            inside.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, inside)


def _run(stage: Stage, line: str) -> None:
    if line.startswith(MACHINE):
        return
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    words = shlex.split(stage.localized(line))
    if uv and words[1:4] == [
        "-m",
        "pip",
        "install",
    ]:  # the same packages, from a cache where there is one
        words = [uv, "pip", "install", "--quiet", "--python", words[0], *words[4:]]
        line = shlex.join(words)
    else:
        line = stage.localized(re.sub(r"^python ", f"{shlex.quote(sys.executable)} ", line))
    done = subprocess.run(
        ["/bin/sh", "-c", line], cwd=stage.place("."), env=stage.environment(),
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    if done.returncode:
        raise ValueError(f"exit code {done.returncode}: {(done.stderr or done.stdout)[-800:]}")
