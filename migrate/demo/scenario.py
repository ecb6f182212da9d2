"""The course of a demonstration: the flag of one service moves while the load runs; measures, prints nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median

from migrate.demo.load_process import LoadProcess, running_load
from migrate.demo.measurements import LoadResult
from migrate.demo.report import DemoReport, Point, Step
from migrate.demo.router_counts import SIDES, RouterCounts, read_counts
from migrate.stack.environment import HOST
from migrate.stack.errors import StackError
from shared.control.barrier import BarrierResult, wait_until_applied
from shared.control.model import Change, FlagChange
from shared.control.store import ControlStore

ACTOR = "migrate demo"
#: The way of a careful migration, back, and there again.
PERCENTS = (0.0, 5.0, 25.0, 100.0, 0.0, 100.0)
SAMPLE_SECONDS = 0.5
APPLY_SECONDS = 5.0
#: Of every step, the part after which answers are counted: those under way at the flip have arrived.
SETTLE_SHARE = 0.25
#: The load is too high for a machine on which more than this share of the clients wait for an answer.
BUSY_SHARE = 0.5
WARM_UP_SECONDS = 2.0
LOWERING = 0.6
MAX_LOWERINGS = 4


@dataclass(frozen=True, slots=True)
class Plan:
    """What is shown: which service, how much load, for how long each step."""

    service: str = "content"
    percents: Sequence[float] = PERCENTS
    requests_per_second: float = 330.0
    clients: int = 120
    step_seconds: float = 5.0


@dataclass(frozen=True, slots=True)
class System:
    """How to reach what is demonstrated."""

    public_url: str
    admin_ports: Sequence[int]
    admin_token: str
    shared_dsn: str


@dataclass(slots=True)
class _Course:
    """What has been seen so far."""

    begun_at: float
    first: RouterCounts
    percent: float = 0.0
    steps: list[Step] = field(default_factory=list)
    timeline: list[Point] = field(default_factory=list)


async def demonstrate(
    system: System, plan: Plan, setup_seconds: float, tell: Callable[[str], None]
) -> DemoReport:
    """Run the load and move the flag; raises StackError when something cannot even begin."""
    store = await ControlStore.connect(system.shared_dsn)
    try:
        await _move(store, plan.service, plan.percents[0])
        async with running_load(
            system.public_url, rate=plan.requests_per_second, clients=plan.clients
        ) as load:
            clients = await load.wait_until_ready()
            tell(f"{clients} clients have signed up and send requests")
            await _find_pace(load, plan, tell)
            course = _Course(time.monotonic(), await _counts(system, plan))
            watch = asyncio.create_task(_watch(system, plan, load, course))
            try:
                for percent in plan.percents:
                    await _step(store, system, plan, load, course, percent)
                    tell(_line(course.steps[-1]))
            finally:
                watch.cancel()
            result = await load.finish()
        last = await _counts(system, plan)
    finally:
        await store.close()
    return _report(plan, course, last, result, setup_seconds)


async def _find_pace(load: LoadProcess, plan: Plan, tell: Callable[[str], None]) -> None:
    """Lower the rate until the machine carries it: a queue that only grows shows nothing but itself."""
    rate = plan.requests_per_second
    for _ in range(MAX_LOWERINGS):
        await asyncio.sleep(WARM_UP_SECONDS)
        load.check()
        if load.latest.in_flight <= plan.clients * BUSY_SHARE:
            return
        rate *= LOWERING
        load.change_rate(rate)
        tell(f"this machine is busy: going on with {rate:.0f} requests a second")


async def _step(
    store: ControlStore,
    system: System,
    plan: Plan,
    load: LoadProcess,
    course: _Course,
    percent: float,
) -> None:
    begun, sent_before = time.monotonic(), load.latest
    change, barrier = await _move(store, plan.service, percent)
    course.percent = percent
    await asyncio.sleep(plan.step_seconds * SETTLE_SHARE)
    counts_before = await _counts(system, plan)
    await asyncio.sleep(max(0.0, begun + plan.step_seconds - time.monotonic()))
    load.check()
    counts = (await _counts(system, plan)).since(counts_before)
    seconds = time.monotonic() - begun
    sent = load.latest.sent - sent_before.sent
    routers = {row.instance: row for row in barrier.applied if row.kind == "router"}
    if not routers:
        raise StackError("no router reports to the control store", hint="migrate instances list")
    course.steps.append(
        Step(
            percent=percent,
            is_change=bool(change.changed),
            version=change.version,
            applied_ms={name: round(row.seconds * 1000, 1) for name, row in routers.items()},
            slowest_ms=round(max(row.seconds for row in routers.values()) * 1000, 1),
            seconds=round(seconds, 3),
            requests=sent,
            failed=load.latest.failed - sent_before.failed,
            requests_per_second=round(sent / seconds, 1),
            service_share=round(counts.service_share, 4),
            latency_ms=_latencies(counts),
        )
    )


async def _move(store: ControlStore, service: str, percent: float) -> tuple[Change, BarrierResult]:
    """The same code as `migrate flag set`: write, then wait until every live instance has it."""
    state = await store.state()
    routes = [name for name, flag in state.flags.items() if flag.service == service]
    if not routes:
        raise StackError(f"the control store has no route of {service}", hint="migrate db migrate")
    change = FlagChange(percent=percent)
    changed = await store.set_flags(
        dict.fromkeys(routes, change), actor=ACTOR, reason=f"demonstration: {percent:g} percent"
    )
    return changed, await wait_until_applied(store, changed, timeout_seconds=APPLY_SECONDS)


async def _watch(system: System, plan: Plan, load: LoadProcess, course: _Course) -> None:
    counts, sample = course.first, load.latest
    while True:
        await asyncio.sleep(SAMPLE_SECONDS)
        new_counts, new_sample = await _counts(system, plan), load.latest
        elapsed = max(new_sample.at - sample.at, 0.001)
        course.timeline.append(
            Point(
                at=round(time.monotonic() - course.begun_at, 2),
                percent=course.percent,
                requests_per_second=round((new_sample.sent - sample.sent) / elapsed, 1),
                failed=new_sample.failed,
                service_share=round(new_counts.since(counts).service_share, 4),
            )
        )
        counts, sample = new_counts, new_sample


async def _counts(system: System, plan: Plan) -> RouterCounts:
    return await read_counts(HOST, system.admin_ports, system.admin_token, plan.service)


def _latencies(counts: RouterCounts) -> dict[str, dict[str, float | None]]:
    return {
        side: {f"p{percent}": counts.latency_ms(side, percent) for percent in (50, 99)}
        for side in SIDES
    }


def _line(step: Step) -> str:
    return (
        f"{step.percent:>3g} %: every router after {step.slowest_ms:.0f} ms, "
        f"{step.requests} requests, {step.failed} failed, "
        f"{step.service_share:.0%} of {step.requests_per_second:.0f} req/s by the service"
    )


def _report(
    plan: Plan, course: _Course, last: RouterCounts, result: LoadResult, setup_seconds: float
) -> DemoReport:
    slowest = [step.slowest_ms for step in course.steps if step.is_change] or [0.0]
    client: dict[str, float | None] = {**result.latencies_ms, "slowest": result.slowest_ms}
    return DemoReport(
        service=plan.service,
        requests=result.requests,
        failed=result.failed,
        differing=result.differing,
        seconds=result.seconds,
        requests_per_second=round(result.requests / result.seconds, 1),
        clients=result.clients,
        router_instances=len({name for step in course.steps for name in step.applied_ms}),
        steps=tuple(course.steps),
        timeline=tuple(course.timeline),
        latency_ms={"client": client, **_latencies(last.since(course.first))},
        propagation_ms={"median": median(slowest), "slowest": max(slowest)},
        setup_seconds=setup_seconds,
        load=result,
    )
