"""How a Dokku host turns a line or words into a command: splitting, global flags, flags and arguments.

Lenient like the host itself, and separate from the checks of the toolkit; reads the same grammar data.
"""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

GRAMMAR = Path(__file__).parents[2] / "migrate" / "dokku" / "grammar.json"


class RefusedError(Exception):
    """The command ends with this exit code and this message on stderr."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


@cache
def commands() -> dict[str, dict[str, Any]]:
    """Facts by command name."""
    return {row["name"]: row for row in json.loads(GRAMMAR.read_text())["commands"]}


@dataclass
class Call:
    """A parsed command as its plugin sees it."""

    name: str
    args: list[str]
    flags: dict[str, list[str]] = field(default_factory=dict)
    quiet: bool = False
    force: bool = False
    stdin: bytes = b""

    def flag(self, name: str, default: str = "") -> str:
        """Value of a flag; a flag without value has an empty one."""
        values = self.flags.get(name)
        return values[-1] if values else default

    @property
    def plugin(self) -> str:
        return self.name.partition(":")[0]


def split_line(line: str) -> list[str]:
    """What the `dokku` script makes of SSH_ORIGINAL_COMMAND, with the real xargs."""
    first = next((word for word in line.split() if not word.startswith("--")), "")
    if re.search(r"git-*|git:*", first):
        return line.split()
    done = subprocess.run(
        ["xargs", "-n", "1"], input=line.encode(), capture_output=True, check=False
    )
    if done.returncode != 0:
        raise RefusedError(done.stderr.decode().strip())
    return done.stdout.decode().splitlines()


def parse(words: list[str], stdin: bytes) -> Call:
    """Find the command, then read its words as its parser would."""
    rest = list(words)
    call = Call("", [], stdin=stdin)
    call.quiet = "--quiet" in rest
    call.force = "--force" in rest
    while rest and rest[0].startswith("--"):
        word = rest.pop(0)
        if word == "--app":
            rest.pop(0)
    if not rest:
        raise RefusedError("no command")
    call.name = rest.pop(0)
    facts = commands().get(call.name)
    if facts is None or facts.get("broken"):
        raise RefusedError(f"`{call.name}` is not a dokku command.\nSee `dokku help` for a list.")
    if facts.get("unimplemented"):
        raise RefusedError("Not yet implemented")
    if facts["parser"] == "pflag":
        _pflag(facts, rest, call)
    elif facts["parser"] == "bash-getopts":
        _getopts(facts, rest, call)
    else:
        _bash(facts, rest, call)
    return call


def _find(facts: dict[str, Any], word: str) -> dict[str, Any] | None:
    return next((f for f in facts.get("flags", []) if word in (f["name"], f.get("short"))), None)


def _pflag(facts: dict[str, Any], rest: list[str], call: Call) -> None:
    first_only = facts.get("flags_position") == "before-args"
    while rest:
        word = rest.pop(0)
        if word == "--":
            call.args += rest
            return
        if not word.startswith("-") or word == "-" or (first_only and call.args):
            call.args.append(word)
            continue
        flag = _find(facts, word)
        if flag is None:
            if word in facts.get("info_flags", []):
                call.flags[word] = [""]
                continue
            raise RefusedError(f"unknown flag: {word}", 2)
        call.flags.setdefault(flag["name"], []).append(rest.pop(0) if flag.get("value") else "")


def _getopts(facts: dict[str, Any], rest: list[str], call: Call) -> None:
    """Positionals first; the first flag ends them, words that are no flag after it are ignored."""
    count = len(facts.get("args", []))
    call.args = rest[:count]
    rest = rest[count:]
    while rest:
        flag = _find(facts, rest.pop(0))
        if flag is not None:
            values = call.flags.setdefault(flag["name"], [])
            values.append(rest.pop(0) if flag.get("value") and rest else "")


def _bash(facts: dict[str, Any], rest: list[str], call: Call) -> None:
    through = facts.get("passthrough_after")
    names = [argument["name"] for argument in facts.get("args", [])]
    place = names.index(through) if through in names else None
    while rest:
        word = rest.pop(0)
        flag = _find(facts, word)
        if place is not None and len(call.args) > place:
            call.args.append(word)
        elif flag is not None:
            call.flags.setdefault(flag["name"], []).append(rest.pop(0) if flag.get("value") else "")
        elif word in facts.get("info_flags", []):
            call.flags[word] = [""]
        else:
            call.args.append(word)
