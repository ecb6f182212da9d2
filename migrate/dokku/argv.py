"""Commands for a Dokku host as checked, immutable values, and how they are written for a shell or for ssh; pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field

from migrate.dokku import grammar
from shared.errors import OperatorError

#: Words that `xargs -n 1`, which splits the line on the host, hands to echo as its own options: they
#: vanish, or arrive as the text of echo's own help.
_EATEN = re.compile(r"-[neE]+|--version|--help")
#: Longest wait for a command that only changes or reads properties, in seconds.
SHORT_SECONDS = 120.0
#: Longest wait for a command that replaces containers or pulls images, in seconds.
LONG_SECONDS = 1800.0


class UnsafeWordError(OperatorError):
    """A word that would arrive on the host as something else."""

    def __init__(self, command: str, problem: str) -> None:
        super().__init__(f"dokku {command}: {problem}; send the value on stdin instead")
        self.command = command


@dataclass(frozen=True, slots=True)
class DokkuCommand:
    """One command: words after `dokku`, what goes to its stdin, and the longest wait in seconds.

    Making one checks it against the grammar. `stdin_from` says in a script where a person takes the
    input from; the input itself is never part of repr, plan or script.
    """

    words: tuple[str, ...]
    stdin: bytes | None = field(default=None, repr=False)
    stdin_from: str = ""
    timeout_seconds: float = SHORT_SECONDS

    def __post_init__(self) -> None:
        grammar.check(self.words)

    @property
    def invocation(self) -> grammar.Invocation:
        """The parsed form."""
        return grammar.check(self.words)

    @property
    def name(self) -> str:
        """The command word, like `apps:create`."""
        return self.invocation.facts.name

    def __str__(self) -> str:
        return shell_line(self)


def command(
    *words: str,
    stdin: bytes | None = None,
    stdin_from: str = "",
    timeout_seconds: float | None = None,
) -> DokkuCommand:
    """A checked command; long waits for the ones that replace containers."""
    if timeout_seconds is None:
        redeploys = grammar.check(words).redeploys
        timeout_seconds = LONG_SECONDS if redeploys else SHORT_SECONDS
    return DokkuCommand(tuple(words), stdin, stdin_from, timeout_seconds)


def shell_line(one: DokkuCommand) -> str:
    """The command as a person types it on the host."""
    line = "dokku " + shlex.join(one.words)
    return f"{line} < {one.stdin_from}" if one.stdin_from else line


def ssh_line(words: Sequence[str]) -> str:
    """The words as the one string that `ssh dokku@host` sends.

    The host splits it again: commands with `git` in their name on whitespace with no quoting, all
    others by the rules of `xargs -n 1`. Raises UnsafeWordError for what would not survive.
    """
    name = next((word for word in words if not word.startswith("--")), "")
    for word in words:
        if word == "" or "\n" in word or "\0" in word:
            raise UnsafeWordError(name, "an empty word or a line break does not survive ssh")
        if _EATEN.fullmatch(word):
            raise UnsafeWordError(
                name, f"the word {word} is taken by the program that splits the line"
            )
        if "git" in name and shlex.quote(word) != word:
            raise UnsafeWordError(name, f"{word!r} would need quotes, which git commands keep")
    return shlex.join(words)
