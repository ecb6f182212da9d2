"""Every kind of step of a phase: what it says, whether it is done already, how it is done."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from migrate.dokku.phases import host_steps as host
from migrate.dokku.phases.commands import CommandRefusedError, act
from migrate.dokku.phases.world import World
from migrate.dokku.settle import give_rights
from shared.errors import OperatorError
from shared.manifest_phases import (
    Command,
    Cutover,
    Finalize,
    ProveStrangled,
    Ramp,
    RollBackData,
    SetFlag,
    Shadow,
    Split,
    Step,
)

_MOVED = frozenset({"own", "final"})


class NotStrangledError(OperatorError):
    """The monolith still has something to do."""

    exit_code = 3


@dataclass(frozen=True, slots=True)
class Kind:
    """How one kind of step behaves. `interrupts` is the question asked before it, if any."""

    describe: Callable[[Any], str]
    is_done: Callable[[World, Any], Awaitable[bool]]
    run: Callable[[World, Any], Awaitable[None]]
    interrupts: Callable[[Any], str] = lambda _step: ""


def kind_of(step: Step) -> Kind:
    """The behaviour of a step."""
    return KINDS[step.do]


async def _never(_world: World, _step: Step) -> bool:
    return False


# ---- traffic ----------------------------------------------------------------------------------------


def _reason(world: World) -> list[str]:
    return ["--reason", world.phase, "--yes"]


async def _flag_is_set(world: World, step: SetFlag) -> bool:
    if step.routes:
        return False
    state = await world.service(step.service)
    return state.percent_min == state.percent_max == step.percent


async def _set_flag(world: World, step: SetFlag) -> None:
    targets = step.routes or (step.service,)
    words = ["flag", "set", *targets, "--percent", f"{step.percent:g}", *_reason(world)]
    await act(world.commands, words, world.say)


async def _shadowed(world: World, step: Shadow) -> bool:
    """Shadowing comes before traffic: once some is there, it has done its work."""
    return (await world.service(step.service)).percent_max > 0


async def _shadow(world: World, step: Shadow) -> None:
    words = ["flag", "set", *await _readable(world, step), "--shadow", f"{step.percent:g}"]
    await act(world.commands, [*words, *_reason(world)], world.say)
    if step.minutes:
        world.say(
            f"    the shadow share stands for {step.minutes:g} minute(s) before traffic moves"
        )
        await world.sleep(step.minutes * 60)


async def _readable(world: World, step: Shadow) -> list[str]:
    routes = world.session.manifest.services[step.service].routes
    shadowed = [route.name for route in routes if route.shadow]
    if not shadowed:
        raise OperatorError(
            f"no route of {step.service} has shadow = true, so there is nothing to compare;"
            " take the step shadow out of the phase, or mark its reads in the manifest"
        )
    return shadowed


async def _ramped(world: World, step: Ramp) -> bool:
    return (await world.service(step.service)).percent_min >= step.percents[-1]


async def _ramp(world: World, step: Ramp) -> None:
    """The judged ramp of the toolkit where there is one; else step by step with a soak at each."""
    if step.judged and world.has_judged_ramp:
        percents = ",".join(f"{percent:g}" for percent in step.percents)
        words = ["ramp", step.service, "--steps", percents, "--soak", f"{step.soak_seconds:g}"]
        await act(world.commands, [*words, *_reason(world)], world.say)
        return
    now = (await world.service(step.service)).percent_min
    for percent in step.percents:
        if percent <= now:
            continue
        words = ["flag", "set", step.service, "--percent", f"{percent:g}", *_reason(world)]
        await act(world.commands, words, world.say)
        if percent < step.percents[-1]:
            await world.sleep(step.soak_seconds)


# ---- data -------------------------------------------------------------------------------------------


async def _split_done(world: World, step: Split) -> bool:
    return (await world.service(step.service)).data in {"following", *_MOVED}


async def _split(world: World, step: Split) -> None:
    await act(world.commands, ["db", "split", step.service, "--yes"], world.say)


async def _cut_over(world: World, step: Cutover) -> bool:
    return (await world.service(step.service)).data in _MOVED


async def _cutover(world: World, step: Cutover) -> None:
    """The split made the tables as superuser: the service's role gets them before it needs them."""
    app = world.session.manifest.services[step.service].app
    count = await give_rights(world.session.applier, app)
    if count:
        world.say(f"    {count} right(s) given to the roles of {app}")
    await act(world.commands, ["cutover", step.service, "--yes"], world.say)


async def _data_rolled_back(world: World, step: RollBackData) -> bool:
    return (await world.service(step.service)).data not in _MOVED


async def _roll_back_data(world: World, step: RollBackData) -> None:
    await act(world.commands, ["rollback", step.service, "--yes"], world.say)


async def _finalized(world: World, step: Finalize) -> bool:
    return (await world.service(step.service)).data == "final"


async def _finalize(world: World, step: Finalize) -> None:
    words = ["db", "finalize", step.service, "--confirm", step.service, "--yes"]
    await act(world.commands, words, world.say)


async def _prove(world: World, step: ProveStrangled) -> None:
    words = ["phase", "proof", "--quiet-minutes", f"{step.quiet_minutes:g}"]
    try:
        await act(world.commands, words, world.say)
    except CommandRefusedError as error:
        raise NotStrangledError(
            f"the monolith is still needed; nothing was stopped. {error.message}"
        ) from error


async def _command(world: World, step: Command) -> None:
    await act(world.commands, step.run, world.say)


def _apps(verb: str) -> Callable[[Any], str]:
    return lambda step: f"{verb} {', '.join(step.apps)}"


KINDS: dict[str, Kind] = {
    "provision": Kind(_apps("bring the host to the manifest for"), _never, host.provision),
    "deploy": Kind(_apps("deploy, where something changed,"), host.deployed, host.deploy),
    "take_domain": Kind(
        lambda s: f"move the public host from {s.source} to {s.target} without a gap",
        host.domain_taken,
        host.take_domain,
        lambda s: f"{s.target} will answer the public host instead of {s.source}",
    ),
    "flag": Kind(
        lambda s: f"send {s.percent:g} % of {', '.join(s.routes) or s.service} to the service",
        _flag_is_set,
        _set_flag,
    ),
    "shadow": Kind(
        lambda s: (
            f"set the shadow share of the reads of {s.service} to {s.percent:g} %, {s.minutes:g} min"
        ),
        _shadowed,
        _shadow,
    ),
    "ramp": Kind(
        lambda s: (
            f"raise {s.service} through {', '.join(f'{p:g}' for p in s.percents)} %,"
            f" {s.soak_seconds:g} s at each"
            + (", judged by `migrate ramp` where it exists" if s.judged else "")
        ),
        _ramped,
        _ramp,
    ),
    "split": Kind(
        lambda s: f"copy the tables of {s.service} into its own database and follow",
        _split_done,
        _split,
    ),
    "cutover": Kind(
        lambda s: f"make {s.service}'s own database the owner of its tables",
        _cut_over,
        _cutover,
        lambda s: f"writes of {s.service} wait for a moment while its tables change their owner",
    ),
    "rollback": Kind(
        lambda s: f"make the shared database the owner of the tables of {s.service} again",
        _data_rolled_back,
        _roll_back_data,
        lambda s: f"writes of {s.service} wait for a moment while its tables change their owner",
    ),
    "finalize": Kind(
        lambda s: f"end the way back of {s.service} and put its old tables away",
        _finalized,
        _finalize,
        lambda s: f"there is no way back for {s.service} afterwards",
    ),
    "backup": Kind(
        lambda s: f"dump {', '.join(s.stores)} and read the dumps back", _never, host.dump_stores
    ),
    "prove_strangled": Kind(
        lambda s: f"prove that nothing reaches the monolith for {s.quiet_minutes:g} min",
        _never,
        _prove,
    ),
    "stop": Kind(
        _apps("stop"),
        host.stopped,
        host.stop,
        lambda s: f"{', '.join(s.apps)} will answer nothing any more",
    ),
    "start": Kind(_apps("start"), host.started, host.start),
    "command": Kind(lambda s: f"migrate {' '.join(s.run)}", _never, _command),
}
