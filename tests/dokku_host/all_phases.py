"""The shipped system from an empty host through all eight phases; the same steps for a real host and a fake one."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from migrate.dokku.argv import LONG_SECONDS, command
from migrate.dokku.desired import app_models, chosen
from migrate.dokku.phases.runner import (
    PhaseError,
    complete,
    find_phase,
    roll_back,
    start,
    statuses,
)
from migrate.dokku.phases.world import World
from migrate.dokku.session import Session
from migrate.dokku.transport import must
from shared.manifest import Manifest
from shared.manifest_dokku import ConfigSource
from shared.manifest_phases import ProveStrangled
from shared.states import PhaseStatus


@dataclass
class Heard:
    """What an operator saw while the phases ran."""

    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    waited: list[float] = field(default_factory=list)

    async def yes(self, question: str) -> bool:
        self.asked.append(question)
        return True

    async def sleep(self, seconds: float) -> None:
        self.waited.append(seconds)


def asked_at(manifest: Manifest, url: str, quiet_minutes: float) -> Manifest:
    """The shipped manifest with an address that the criteria can ask, and a short proof of silence.

    Models and mails come from the reference providers, and no certificate is asked for.
    """
    assert manifest.dokku is not None
    config = manifest.dokku.common_config | {
        "PUBLIC_BASE_URL": ConfigSource(value=url),
        "PROVIDERS": ConfigSource(value="reference"),
    }
    section = manifest.dokku.model_copy(update={"common_config": config})
    phases = [
        phase.model_copy(
            update={
                "steps": tuple(
                    step.model_copy(update={"quiet_minutes": quiet_minutes})
                    if isinstance(step, ProveStrangled)
                    else step
                    for step in phase.steps
                )
            }
        )
        for phase in manifest.phases
    ]
    return manifest.model_copy(update={"dokku": section, "phases": tuple(phases)})


def named(manifest: Manifest, public_host: str) -> Manifest:
    """The manifest for another public host, which gets no certificate."""
    assert manifest.dokku is not None
    apps = dict(manifest.dokku.apps)
    apps["router"] = apps["router"].model_copy(update={"letsencrypt": False})
    return manifest.model_copy(
        update={
            "project": manifest.project.model_copy(update={"public_host": public_host}),
            "dokku": manifest.dokku.model_copy(update={"apps": apps}),
        }
    )


async def live_through_all(world: World) -> None:
    """Every phase is started and completed; the last one is taken back once; then no plan is left."""
    phases = world.session.manifest.phases
    with pytest.raises(PhaseError, match="comes after phase 1"):
        await start(world, find_phase(phases, "media"))
    for phase in phases:
        await start(world, phase)
        found = await complete(world, phase)
        assert all(row.holds for row in found), (phase.name, found)
    last = phases[-1]
    await roll_back(world, last)
    assert (await statuses(world))[last.number] is PhaseStatus.PENDING
    await start(world, last)
    assert all(row.holds for row in await complete(world, last))
    known = await statuses(world)
    assert set(known.values()) == {PhaseStatus.COMPLETED}
    assert len(known) == len(phases)
    plan = await world.session.applier.plan(chosen(world.session.manifest))
    assert plan.is_empty, [(c.subject, c.differences) for c in plan.changes]


async def present(session: Session) -> list[str]:
    """Apps of the manifest that the host has already."""
    names = [
        name
        for name in app_models(session.manifest)
        if (await session.transport.run(command("apps:exists", name))).exit == 0
    ]
    return sorted(names)


async def remove_all(session: Session) -> None:
    """Apps first, because a store that is linked cannot go."""
    section = session.section
    lines = [["--force", "apps:destroy", app] for app in app_models(session.manifest)]
    lines += [["--force", f"{s.kind}:destroy", name] for name, s in section.stores.items()]
    mounts = {m.name for model in app_models(session.manifest).values() for m in model.storage}
    lines += [["storage:destroy", name, "--force"] for name in sorted(mounts)]
    lines += [["--force", "network:destroy", section.network]]
    for line in lines:
        await session.transport.run(command(*line, timeout_seconds=LONG_SECONDS))
    left = await must(session.transport, command("apps:list", "--format", "json"))
    assert not any(f'"{app}"' in left.text for app in app_models(session.manifest))
