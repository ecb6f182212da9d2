"""One run against one host: where it is, how to get there, and the objects that work on it."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from migrate.dokku.apply import Applier
from migrate.dokku.deploy import Deployer
from migrate.dokku.desired import DesiredHost, app_models, desired_host, section_of
from migrate.dokku.digests import Digests, HostDigests, NoDigests
from migrate.dokku.repository import Repository
from migrate.dokku.transport import LocalTransport, Redactor, SshTransport, Transport
from migrate.dokku.values import resolve
from shared.errors import OperatorError
from shared.manifest import Manifest
from shared.manifest_dokku import DokkuSection

#: `local` instead of a host name: the command runs on the host itself.
LOCAL = "local"


@dataclass(frozen=True, slots=True)
class Target:
    """Where the host is."""

    user: str
    host: str
    port: int

    @property
    def is_local(self) -> bool:
        return self.host == LOCAL

    def __str__(self) -> str:
        if self.is_local:
            return "this machine"
        return f"{self.user}@{self.host}" + (f":{self.port}" if self.port != 22 else "")


@dataclass(frozen=True)
class Session:
    """Everything that commands need; the transport is open as long as the session."""

    manifest: Manifest
    section: DokkuSection
    target: Target
    transport: Transport
    desired: DesiredHost
    applier: Applier
    deployer: Deployer
    repository: Repository


def find_target(section: DokkuSection, named: str | None, env: Mapping[str, str]) -> Target:
    """The host: from the command line, else DOKKU_HOST, else the manifest; `[user@]host[:port]`."""
    text = named or env.get("DOKKU_HOST") or section.host
    found = re.fullmatch(
        r"(?:([a-z_][a-z0-9_-]*)@)?([A-Za-z0-9][A-Za-z0-9._-]*)(?::([0-9]{1,5}))?", text
    )
    if found is None:
        raise OperatorError(f"{text!r} does not look like [user@]host[:port]")
    return Target(found[1] or section.user, found[2], int(found[3] or section.ssh_port))


def ssh_options(env: Mapping[str, str]) -> tuple[str, ...]:
    """Extra words for ssh from DOKKU_SSH_OPTIONS, such as `-i ~/.ssh/deploy_key`."""
    return tuple(shlex.split(env.get("DOKKU_SSH_OPTIONS", "")))


@asynccontextmanager
async def open_session(
    manifest: Manifest,
    host: str | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> AsyncIterator[Session]:
    """Connect lazily and build everything; closes the connection afterwards."""
    env = os.environ if environment is None else environment
    section = section_of(manifest)
    target = find_target(section, host, env)
    values, missing = await resolve(manifest, env)
    desired = desired_host(manifest, values, missing)
    async with AsyncExitStack() as stack:
        ssh: tuple[str, ...] = ("ssh",)
        transport: Transport
        if target.is_local:
            transport = LocalTransport()
        else:
            way = SshTransport(
                target.host, user=target.user, port=target.port, options=ssh_options(env)
            )
            transport = await stack.enter_async_context(way)
            ssh = tuple(way.ssh())
        digests: Digests = NoDigests()
        if section.shared_store is not None:
            digests = HostDigests(transport, section.shared_store)
        redact = Redactor([value.text for value in values.values() if value.is_secret])
        applier = Applier(transport, desired, digests=digests, redact=redact)
        repository = Repository(folder or Path.cwd(), ssh)
        at = section.model_copy(update={"user": target.user, "ssh_port": target.port})
        deployer = Deployer(transport, repository, at, app_models(manifest), applier, target.host)
        yield Session(manifest, section, target, transport, desired, applier, deployer, repository)
