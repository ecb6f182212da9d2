"""What every command starts from: the manifest, the control store, who acts; built once per run."""

from __future__ import annotations

import asyncio
import getpass
import os
import socket
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from migrate.stack.env_file import read_env_file
from shared.control.store import ControlStore
from shared.errors import OperatorError
from shared.manifest import Manifest, load_manifest

T = TypeVar("T")

#: Written by `migrate up`: the environment of the command for the local stack.
LOCAL_ENVIRONMENT = "env/migrate.env"


class MissingSettingError(OperatorError):
    """A setting that the command needs is neither in the environment nor in the local stack."""

    def __init__(self, name: str, what: str) -> None:
        super().__init__(
            f"{name} is not set; it names {what}. Start the local stack with `migrate up`,"
            f" or set {name} in the environment"
        )
        self.name = name


@dataclass(frozen=True)
class Context:
    """Settings of one run of the command."""

    manifest_path: Path
    stack_directory: Path

    @cached_property
    def manifest(self) -> Manifest:
        """The manifest, read when it is first needed; raises ManifestError."""
        return load_manifest(self.manifest_path)

    @cached_property
    def local_environment(self) -> dict[str, str]:
        """What `migrate up` wrote for the command; empty without a local stack."""
        file = self.stack_directory / LOCAL_ENVIRONMENT
        return read_env_file(file) if file.exists() else {}

    def setting(self, name: str) -> str | None:
        """A value from the environment, else from the local stack."""
        return os.environ.get(name) or self.local_environment.get(name)

    def require(self, name: str, what: str) -> str:
        """Like `setting`; raises MissingSettingError."""
        value = self.setting(name)
        if not value:
            raise MissingSettingError(name, what)
        return value

    @property
    def shared_dsn(self) -> str:
        """DSN of the shared database, which holds the control store."""
        return self.require("SHARED_DATABASE_URL", "the shared database")

    @cached_property
    def actor(self) -> str:
        """Who acts, for the history: STRANGLER_ACTOR, else user@host."""
        return os.environ.get("STRANGLER_ACTOR") or f"{_user()}@{socket.gethostname()}"

    @asynccontextmanager
    async def store(self) -> AsyncIterator[ControlStore]:
        """The control store, closed afterwards."""
        store = await ControlStore.connect(self.shared_dsn)
        try:
            yield store
        finally:
            await store.close()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


_current: list[Context] = []


def set_context(context: Context) -> None:
    """Called once by the root of the command, before any subcommand runs."""
    _current[:] = [context]


def get_context() -> Context:
    """The context of this run; built from the environment when a subcommand is used as a library."""
    if not _current:
        set_context(
            Context(
                Path(os.environ.get("MANIFEST", "migration.toml")),
                Path(os.environ.get("STACK_DIRECTORY", ".stack")),
            )
        )
    return _current[0]


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's asynchronous work."""
    return asyncio.run(work)
