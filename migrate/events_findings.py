"""What `migrate events doctor` (and `migrate doctor`) say about events on a running installation."""

from __future__ import annotations

from migrate.doctor.finding import Finding
from migrate.events_desk import EventsDesk
from shared.errors import StranglerError
from shared.events import outbox
from shared.events.outbox import OutboxLag
from shared.events.rabbitmq.inspection import broker_facts, differences, queue_states
from shared.events.rabbitmq.versions import BrokerFacts, is_newer_than_known, shortcomings
from shared.placement.session import begin

#: Oldest due outbox row that is still healthy, in seconds: the contract promises effects within 5.
OLDEST_SECONDS = 5.0


async def findings(desk: EventsDesk) -> list[Finding]:
    """Everything about events that an operator should know, the good and the bad."""
    found: list[Finding] = []
    try:
        found += _version(await broker_facts(desk.broker))
        found += await _queues(desk)
    except StranglerError as error:
        found.append(Finding("error", "broker", error.message))
    for name, pool in desk.databases.items():
        try:
            async with begin(pool, "shared", "read_committed") as connection:
                if await outbox.exists(connection):
                    found.append(_outbox(name, await outbox.lag(connection)))
                else:
                    found.append(Finding("ok", f"outbox of {name}", "no table: not deployed yet"))
        except StranglerError as error:
            found.append(Finding("error", f"outbox of {name}", error.message))
    return found


def _version(facts: BrokerFacts) -> list[Finding]:
    if problems := shortcomings(facts):
        return [Finding("error", "broker", problem) for problem in problems]
    if is_newer_than_known(facts):
        text = f"{facts} is newer than this code knows; read its release notes about quorum queues"
        return [Finding("warning", "broker", text)]
    return [Finding("ok", "broker", str(facts))]


async def _queues(desk: EventsDesk) -> list[Finding]:
    found: list[Finding] = []
    names = desk.names
    for consumer in desk.consumers:
        main, dead = await queue_states(desk.broker, [names.queue(consumer), names.dead(consumer)])
        if main.messages is None:
            found.append(Finding("ok", names.queue(consumer), "not declared: not deployed yet"))
            continue
        if not main.consumers:
            found.append(
                Finding(
                    "error" if main.messages else "warning",
                    main.name,
                    f"{main.messages} message(s) and no consumer; is its worker running?",
                )
            )
        if dead.messages:
            found.append(
                Finding(
                    "warning",
                    dead.name,
                    f"{dead.messages} parked; see `migrate events parked {consumer}`",
                )
            )
        problems = await differences(desk.broker, desk.topology((consumer,)))
        found += [Finding("error", main.name, problem) for problem in problems]
    (unrouted,) = await queue_states(desk.broker, [names.unrouted])
    if unrouted.messages:
        found.append(
            Finding(
                "warning",
                unrouted.name,
                f"{unrouted.messages} event(s) that nobody was bound for;"
                " see `migrate events parked unrouted`",
            )
        )
    return found


def _outbox(name: str, lag: OutboxLag) -> Finding:
    subject = f"outbox of {name}"
    if lag.oldest_seconds > OLDEST_SECONDS:
        return Finding(
            "error",
            subject,
            f"{lag.unsent} unsent, the oldest due for {lag.oldest_seconds:.0f} s;"
            " is a worker running and the broker up?",
        )
    if lag.failing:
        return Finding(
            "warning",
            subject,
            f"{lag.failing} event(s) not taken by the broker ({lag.last_error});"
            " see `migrate events topology`",
        )
    return Finding("ok", subject, f"{lag.unsent} unsent")
