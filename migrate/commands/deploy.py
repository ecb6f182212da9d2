"""`migrate deploy [APP…]`: push what changed, in order, and prove that it runs."""

from __future__ import annotations

from typing import Annotated

import typer

from migrate.commands.dokku import Host, Json, say
from migrate.context import get_context, run
from migrate.dokku.deploy import Candidate, Deployed
from migrate.dokku.desired import UnknownAppError, app_models, chosen
from migrate.dokku.session import Session, open_session
from migrate.report import print_json, print_table
from shared.errors import OperatorError


class NothingDeployedError(OperatorError):
    """An app that was named is not on the host."""

    exit_code = 3


def deploy(
    apps: Annotated[
        list[str] | None, typer.Argument(help="Apps; all that changed without.")
    ] = None,
    ref: Annotated[str, typer.Option("--ref", help="The commit to deploy.")] = "HEAD",
    rollback: Annotated[
        str | None, typer.Option("--rollback", metavar="APP", help="Push its last other deploy.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Push although nothing changed, or backwards.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be pushed.")
    ] = False,
    host: Host = None,
    as_json: Json = False,
) -> None:
    """Push one commit to every app whose files changed, and prove that it runs."""
    manifest = get_context().manifest
    if rollback is not None and rollback not in app_models(manifest):
        raise UnknownAppError(rollback, app_models(manifest))

    async def work() -> tuple[tuple[Candidate, ...], tuple[Deployed, ...]]:
        async with open_session(manifest, host) as session:
            if not as_json:
                _speak(session)
            if rollback is not None:
                return await _roll_back(session, rollback, dry_run=dry_run)
            revision = await session.repository.revision(ref)
            found = await session.deployer.candidates(chosen(manifest, apps or ()), revision)
            wanted = _wanted(found, apps or (), force=force)
            if dry_run or not wanted:
                return found, ()
            return found, await session.deployer.deploy(wanted, revision, force=force)

    found, done = run(work())
    if as_json:
        print_json(
            {
                "apps": [
                    {"app": c.app, "running": c.running, "reason": c.reason, "files": list(c.files)}
                    for c in found
                ],
                "deployed": [
                    {"app": d.app, "revision": d.revision, "seconds": round(d.seconds, 1)}
                    for d in done
                ],
            }
        )
        return
    rows = {d.app: f"deployed in {d.seconds:.0f} s" for d in done}
    print_table(
        "Deploys",
        ("app", "ran", "why", "result"),
        ((c.app, c.running[:12], c.reason or "no change", rows.get(c.app, "")) for c in found),
    )


def _speak(session: Session) -> None:
    session.deployer.on_push = lambda app, revision: say(f"{app}: pushing {revision[:12]}")
    session.deployer.on_deployed = lambda row: say(f"{row.app}: runs {row.revision[:12]}")


def _wanted(
    found: tuple[Candidate, ...], named: list[str] | tuple[str, ...], *, force: bool
) -> list[str]:
    """Apps to push; one that is not on the host is an error only where it was named."""
    absent = [c for c in found if c.reason.startswith("not on the host")]
    for candidate in absent:
        if candidate.app in named:
            raise NothingDeployedError(f"{candidate.app} is {candidate.reason}")
    there = [c for c in found if c not in absent]
    return [c.app for c in there if c.reason or force]


async def _roll_back(
    session: Session, app: str, *, dry_run: bool
) -> tuple[tuple[Candidate, ...], tuple[Deployed, ...]]:
    revision = await session.deployer.previous(app)
    found = (Candidate(app, "", f"back to {revision[:12]}"),)
    if dry_run:
        return found, ()
    return found, await session.deployer.deploy([app], revision, force=True)
