"""Steps of a phase that change the host: apps, deploys, the public host, containers, dumps."""

from __future__ import annotations

from migrate.dokku.argv import LONG_SECONDS, command
from migrate.dokku.observed import STARTED, STOPPED, run_key
from migrate.dokku.phases.backup import back_up
from migrate.dokku.phases.domain import find_move, move_domain
from migrate.dokku.phases.world import World
from migrate.dokku.reading import report
from migrate.dokku.transport import must
from shared.manifest_phases import BackUp, Deploy, Provision, Start, Stop, TakeDomain


async def provision(world: World, step: Provision) -> None:
    """Apply the manifest to the apps."""
    outcome = await world.session.applier.apply(step.apps)
    world.say(f"    {outcome.commands} command(s)")


async def deployed(world: World, step: Deploy) -> bool:
    """Whether nothing would be pushed."""
    revision = await world.session.repository.revision()
    found = await world.session.deployer.candidates(step.apps, revision)
    return not any(candidate.reason for candidate in found)


async def deploy(world: World, step: Deploy) -> None:
    """Push what changed, and say what runs."""
    revision = await world.session.repository.revision()
    found = await world.session.deployer.candidates(step.apps, revision)
    wanted = [candidate.app for candidate in found if candidate.reason]
    for row in await world.session.deployer.deploy(wanted, revision):
        world.say(f"    {row.app} runs {row.revision[:12]}")


async def domain_taken(world: World, step: TakeDomain) -> bool:
    """Whether the target has all names alone."""
    return not (await find_move(world, step.source, step.target)).names


async def take_domain(world: World, step: TakeDomain) -> None:
    """Move the names, then bring both apps to the manifest."""
    await move_domain(world, await find_move(world, step.source, step.target))
    await world.session.applier.apply((step.source, step.target))


async def stopped(world: World, step: Stop) -> bool:
    """Whether the apps are stopped, and kept as stopped."""
    kept = await world.session.applier.digests.load()
    if any(kept.get(run_key(app)) != STOPPED for app in step.apps):
        return False
    states = [await report(world.session.transport, "ps", app) for app in step.apps]
    return all(state.get("running") == "false" for state in states)


async def stop(world: World, step: Stop) -> None:
    """Stop the apps for good: later plans and deploys leave them so."""
    digests = world.session.applier.digests
    for app in step.apps:
        await digests.keep({run_key(app): STOPPED})  # first: nothing may start it from now on
        await must(world.session.transport, command("ps:stop", app, timeout_seconds=LONG_SECONDS))


async def started(world: World, step: Start) -> bool:
    """Whether the apps run, and nothing keeps them stopped."""
    kept = await world.session.applier.digests.load()
    if any(kept.get(run_key(app)) == STOPPED for app in step.apps):
        return False
    states = [await report(world.session.transport, "ps", app) for app in step.apps]
    return all(state.get("running") == "true" for state in states)


async def start(world: World, step: Start) -> None:
    """Start the apps again."""
    digests = world.session.applier.digests
    for app in step.apps:
        await must(world.session.transport, command("ps:start", app, timeout_seconds=LONG_SECONDS))
        await digests.keep({run_key(app): STARTED})


async def dump_stores(world: World, step: BackUp) -> None:
    """Dump the stores."""
    for store in step.stores:
        await back_up(world, store)
