"""The local git repository: revisions, changed paths, pushes by URL; knows no manifest."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from migrate.dokku.transport import Answer, execute
from shared.errors import OperatorError

#: Longest wait for git commands that touch no network, in seconds.
LOCAL_SECONDS = 60.0
#: Longest build and deploy behind a push, in seconds.
PUSH_SECONDS = 3600.0


class RepositoryError(OperatorError):
    """git said no; the message has its words."""


@dataclass(frozen=True)
class Repository:
    """A working copy. `ssh` is the ssh command line that pushes use."""

    folder: Path
    ssh: Sequence[str] = ("ssh",)
    environment: Mapping[str, str] = field(default_factory=dict)

    async def git(
        self, *words: str, timeout_seconds: float = LOCAL_SECONDS, check: bool = True
    ) -> Answer:
        """Run git; with `check`, raises RepositoryError on failure."""
        answer = await execute(
            ["git", "-C", str(self.folder), *words],
            stdin=None,
            timeout_seconds=timeout_seconds,
            name=f"git {words[0]}",
            env={
                **os.environ,
                **self.environment,
                "GIT_SSH_COMMAND": shlex.join(self.ssh),
                "GIT_TERMINAL_PROMPT": "0",
            },
        )
        if check and answer.exit != 0:
            raise RepositoryError(f"git {words[0]} failed in {self.folder}: {answer.complaint}")
        return answer

    async def revision(self, name: str = "HEAD") -> str:
        """The commit behind a name, as 40 digits."""
        answer = await self.git(
            "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}", check=False
        )
        if answer.exit != 0:
            raise RepositoryError(f"{name} is no commit of the repository in {self.folder}")
        return answer.text.strip()

    async def refuse_shallow(self) -> None:
        """Dokku refuses pushes from shallow clones; say so before anything is pushed."""
        answer = await self.git("rev-parse", "--is-shallow-repository")
        if answer.text.strip() == "true":
            raise RepositoryError(
                "this clone is shallow and Dokku refuses such pushes; run `git fetch --unshallow`"
            )

    async def has(self, revision: str) -> bool:
        """Whether a commit is known here."""
        if not revision:
            return False
        answer = await self.git("cat-file", "-e", f"{revision}^{{commit}}", check=False)
        return answer.exit == 0

    async def changed(self, before: str, after: str, paths: Sequence[str]) -> tuple[str, ...]:
        """Files below the paths that differ between two commits."""
        answer = await self.git("diff", "--name-only", "--no-renames", before, after, "--", *paths)
        return tuple(line for line in answer.text.splitlines() if line)

    async def read(self, revision: str, path: str) -> str | None:
        """A file of a commit; None when it is not there."""
        answer = await self.git("show", f"{revision}:{path}", check=False)
        return answer.text if answer.exit == 0 else None

    async def push(self, url: str, revision: str, branch: str, *, force: bool = False) -> Answer:
        """Push one commit to a branch of a URL; the exit code is the caller's to judge."""
        flags = ["--force"] if force else []
        return await self.git(
            "push", *flags, url, f"{revision}:refs/heads/{branch}",
            timeout_seconds=PUSH_SECONDS, check=False,
        )  # fmt: skip

    async def remote(self, url: str, branch: str) -> str:
        """The commit that a branch of a URL has; empty when there is none."""
        answer = await self.git("ls-remote", url, f"refs/heads/{branch}", timeout_seconds=120)
        return answer.text.partition("\t")[0].strip()

    async def remember(self, app: str, revision: str) -> None:
        """Note a proven deploy in a ref with a log, so that the one before it can be found."""
        await self.git(
            "update-ref", "--create-reflog", "-m", "deployed", f"refs/strangler/{app}", revision
        )

    async def before(self, app: str, current: str) -> str | None:
        """The last other commit that was proven to run for an app, from that log."""
        answer = await self.git(
            "log", "-g", "--format=%H", f"refs/strangler/{app}", "--", check=False
        )
        others = [line for line in answer.text.split() if line != current]
        return others[0] if answer.exit == 0 and others else None


def push_url(user: str, host: str, port: int, app: str) -> str:
    """Where an app is pushed to."""
    return f"{user}@{host}:{app}" if port == 22 else f"ssh://{user}@{host}:{port}/{app}"
