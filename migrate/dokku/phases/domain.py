"""Moves the public host from one app to another without a moment in which nobody answers it."""

from __future__ import annotations

import io
import tarfile
from dataclasses import dataclass

from migrate.dokku.argv import command
from migrate.dokku.observed import ObservedApp
from migrate.dokku.phases.world import World
from migrate.dokku.reading import read_app
from migrate.dokku.transport import must
from shared.errors import OperatorError


class DomainMoveError(OperatorError):
    """The name was not moved; the app that had it still has it."""


@dataclass(frozen=True, slots=True)
class Move:
    """The names to move and both apps as they are."""

    source: ObservedApp
    target: ObservedApp
    names: tuple[str, ...]


async def find_move(world: World, source: str, target: str) -> Move:
    """What has to be moved; no names when the target has all of them alone."""
    transport = world.session.transport
    wanted = world.session.desired.apps[target].domains
    k3s = world.session.section.scheduler == "k3s"
    old = await read_app(transport, source, public=True, k3s=k3s)
    new = await read_app(transport, target, public=True, k3s=k3s)
    held = old.domains if old.domains_enabled else frozenset()
    return Move(old, new, tuple(sorted(wanted & held)))


async def move_domain(world: World, move: Move) -> None:
    """Certificate first, then both own the name, then only the target; back at the first failure.

    nginx keeps answering from the first app until the name leaves it, so the switch is that one reload.
    """
    transport, source, target = world.session.transport, move.source.name, move.target.name
    if not move.target.is_deployed or move.target.get("ps", "running") != "true":
        raise DomainMoveError(
            f"{target} does not run, so it cannot take {', '.join(move.names)};"
            f" run `migrate deploy {target}` first"
        )
    if not move.target.domains_enabled:
        raise DomainMoveError(
            f"host names are switched off for {target}, where Dokku loses a name that is added;"
            f" run `migrate dokku apply {target}` first"
        )
    await must(transport, command("checks:run", target))
    if move.source.has_certificate and not move.target.has_certificate:
        await _copy_certificate(world, source, target)
    await must(transport, command("domains:add", target, *move.names))
    await _require(world, target, move.names)
    world.say(f"    {target} has {', '.join(move.names)} as well; {source} still answers")
    await must(transport, command("domains:remove", source, *move.names))
    try:
        await _require(world, target, move.names)
    except DomainMoveError:
        await must(transport, command("domains:add", source, *move.names))
        raise
    world.say(f"    {target} answers {', '.join(move.names)}")


async def _copy_certificate(world: World, source: str, target: str) -> None:
    """The certificate goes from app to app in memory; the key is on no disk and no command line."""
    transport = world.session.transport
    parts = {}
    for kind in ("crt", "key"):
        parts[kind] = (await must(transport, command("certs:show", source, kind))).stdout
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for kind, body in parts.items():
            entry = tarfile.TarInfo(f"server.{kind}")
            entry.size, entry.mode = len(body), 0o600
            tar.addfile(entry, io.BytesIO(body))
    await must(
        transport,
        command("certs:add", target, stdin=archive.getvalue(), stdin_from="(certificate)"),
    )
    world.say(f"    copied the certificate of {source} to {target}")


async def _require(world: World, app: str, names: tuple[str, ...]) -> None:
    k3s = world.session.section.scheduler == "k3s"
    found = await read_app(world.session.transport, app, public=False, k3s=k3s)
    if not (found.domains_enabled and set(names) <= found.domains):
        raise DomainMoveError(
            f"Dokku accepted the names for {app}, but reports {sorted(found.domains) or 'none'};"
            " nothing was taken from the other app"
        )
