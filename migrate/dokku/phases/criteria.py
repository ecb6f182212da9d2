"""The success criteria of a phase as checks that run; changes nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx

from migrate.dokku.phases.commands import QUERY_SECONDS
from migrate.dokku.phases.world import World
from migrate.dokku.reading import report
from shared.errors import StranglerError
from shared.manifest_phases import (
    AppRuns,
    CommandSucceeds,
    Criterion,
    DataAt,
    HttpAnswers,
    PlanEmpty,
    TrafficAt,
)

#: Longest wait for the public host, in seconds.
HTTP_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether one criterion holds, and what was seen."""

    what: str
    holds: bool
    seen: str


async def judge(world: World, criterion: Criterion) -> Verdict:
    """Check one criterion; an error of the check counts as not held."""
    what, check = CHECKS[criterion.check]
    try:
        holds, seen = await check(world, criterion)
    except (StranglerError, httpx.HTTPError) as error:
        holds, seen = False, getattr(error, "message", "") or type(error).__name__
    return Verdict(what(criterion), holds, seen)


async def _app_runs(world: World, criterion: AppRuns) -> tuple[bool, str]:
    state = await report(world.session.transport, "ps", criterion.app)
    running, deployed = state.get("running", ""), state.get("deployed", "")
    return deployed == "true" and running == "true", f"deployed {deployed}, running {running}"


async def _http(world: World, criterion: HttpAnswers) -> tuple[bool, str]:
    url = f"{await public_address(world)}{criterion.path}"
    async with httpx.AsyncClient(timeout=HTTP_SECONDS, trust_env=False) as client:
        answer = await client.request(criterion.method, url)
    return answer.status_code == criterion.status, f"{answer.status_code} from {url}"


async def public_address(world: World) -> str:
    """Where the criteria ask: the base URL that the apps are told, else https on the public host."""
    for app in world.session.desired.apps.values():
        value = app.config.get("PUBLIC_BASE_URL")
        if value is not None:
            return value.text.rstrip("/")
    return f"https://{world.session.manifest.project.public_host}"


async def _traffic(world: World, criterion: TrafficAt) -> tuple[bool, str]:
    state = await world.service(criterion.service)
    return state.percent_min >= criterion.percent, f"{state.percent_min:g} %"


async def _data(world: World, criterion: DataAt) -> tuple[bool, str]:
    state = await world.service(criterion.service)
    return state.data in criterion.states, state.data


async def _plan_empty(world: World, criterion: PlanEmpty) -> tuple[bool, str]:
    plan = await world.session.applier.plan(criterion.apps)
    return plan.is_empty, f"{len(plan.changes)} change(s)"


async def _command(world: World, criterion: CommandSucceeds) -> tuple[bool, str]:
    answer = await world.commands.run(criterion.run, timeout_seconds=QUERY_SECONDS)
    return answer.exit == 0, f"exit code {answer.exit} {answer.complaint}".strip()


Check = Callable[[World, Any], Awaitable[tuple[bool, str]]]

CHECKS: dict[str, tuple[Callable[[Any], str], Check]] = {
    "app_runs": (lambda c: f"{c.app} runs", _app_runs),
    "http": (lambda c: f"{c.method} {c.path} answers {c.status}", _http),
    "traffic": (lambda c: f"traffic of {c.service} is at {c.percent:g} % or more", _traffic),
    "data": (lambda c: f"tables of {c.service} are {' or '.join(c.states)}", _data),
    "plan_empty": (
        lambda c: f"the host is as the manifest says for {', '.join(c.apps)}",
        _plan_empty,
    ),
    "command": (lambda c: f"`migrate {' '.join(c.run)}` succeeds", _command),
}
