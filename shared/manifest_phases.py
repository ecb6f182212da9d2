"""Frozen models of the manifest's phases: ordered steps, success criteria, rollback; pure, runs nothing."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from shared.manifest_dokku import AppName, Frozen, StoreName

#: A share of traffic in percent of the service side.
Percent = Annotated[float, Field(ge=0, le=100)]
Service = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$")]


class Provision(Frozen):
    """Bring apps and their stores on the host to the manifest's state (`migrate dokku apply`)."""

    do: Literal["provision"]
    apps: tuple[AppName, ...] = Field(min_length=1)


class Deploy(Frozen):
    """Push the apps that changed, in this order, and prove that the revision runs."""

    do: Literal["deploy"]
    apps: tuple[AppName, ...] = Field(min_length=1)


class TakeDomain(Frozen):
    """Move the public host from one app to another without a gap; nothing to do when it is there already."""

    do: Literal["take_domain"]
    source: AppName = Field(alias="from")
    target: AppName = Field(alias="to")


class SetFlag(Frozen):
    """Set the share of a service's routes, or of the named ones, at once."""

    do: Literal["flag"]
    service: Service
    percent: Percent
    routes: tuple[str, ...] = ()


class Shadow(Frozen):
    """Send copies of this share of requests to the service and compare, for at least `minutes`."""

    do: Literal["shadow"]
    service: Service
    percent: Percent = 100.0
    minutes: float = Field(0.0, ge=0)


class Ramp(Frozen):
    """Raise the share of a service's routes through `percents`, waiting `soak_seconds` at each.

    `judged` asks the ramp's own judgement (errors, latency, mismatches) before the next step.
    """

    do: Literal["ramp"]
    service: Service
    percents: tuple[Percent, ...] = (1, 5, 25, 50, 100)
    soak_seconds: float = Field(60.0, ge=0)
    judged: bool = True

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if list(self.percents) != sorted(set(self.percents)):
            raise ValueError("percents must rise from step to step")
        return self


class Split(Frozen):
    """Copy and follow the tables of a service into its own database."""

    do: Literal["split"]
    service: Service


class Cutover(Frozen):
    """Make the service's own database the owner of its tables."""

    do: Literal["cutover"]
    service: Service


class RollBackData(Frozen):
    """Make the shared database the owner of the service's tables again."""

    do: Literal["rollback"]
    service: Service


class Finalize(Frozen):
    """End reverse following and put the old tables away; the way back ends here."""

    do: Literal["finalize"]
    service: Service


class BackUp(Frozen):
    """Dump the stores to files on the operator's machine and read the dumps back."""

    do: Literal["backup"]
    stores: tuple[StoreName, ...] = Field(min_length=1)


class ProveStrangled(Frozen):
    """Go on only when no route is left at the monolith and it got no request for `quiet_minutes`."""

    do: Literal["prove_strangled"]
    quiet_minutes: float = Field(60.0, ge=0)


class Stop(Frozen):
    """Stop the processes of apps; the apps stay on the host."""

    do: Literal["stop"]
    apps: tuple[AppName, ...] = Field(min_length=1)


class Start(Frozen):
    """Start the processes of stopped apps."""

    do: Literal["start"]
    apps: tuple[AppName, ...] = Field(min_length=1)


class Command(Frozen):
    """Any other command of the CLI, as its words after `migrate`."""

    do: Literal["command"]
    run: tuple[str, ...] = Field(min_length=1)


Step = Annotated[
    Provision
    | Deploy
    | TakeDomain
    | SetFlag
    | Shadow
    | Ramp
    | Split
    | Cutover
    | RollBackData
    | Finalize
    | BackUp
    | ProveStrangled
    | Stop
    | Start
    | Command,
    Field(discriminator="do"),
]


class AppRuns(Frozen):
    """Every process of the app runs at its scale and the last deploy succeeded."""

    check: Literal["app_runs"]
    app: AppName


class HttpAnswers(Frozen):
    """The public host answers a path with this status."""

    check: Literal["http"]
    path: Annotated[str, Field(pattern=r"^/")]
    status: int = Field(200, ge=100, le=599)
    method: Literal["GET", "HEAD", "POST", "OPTIONS"] = "GET"


class TrafficAt(Frozen):
    """Every route of the service is at least at this share."""

    check: Literal["traffic"]
    service: Service
    percent: Percent = 100.0


class DataAt(Frozen):
    """The service's tables are in one of these states."""

    check: Literal["data"]
    service: Service
    states: tuple[Literal["shared", "copying", "following", "own", "final"], ...] = ("own", "final")


class PlanEmpty(Frozen):
    """The host's state of these apps equals the manifest (`migrate dokku plan` prints no change)."""

    check: Literal["plan_empty"]
    apps: tuple[AppName, ...] = Field(min_length=1)


class CommandSucceeds(Frozen):
    """A command of the CLI, as its words after `migrate`, exits with 0."""

    check: Literal["command"]
    run: tuple[str, ...] = Field(min_length=1)


Criterion = Annotated[
    AppRuns | HttpAnswers | TrafficAt | DataAt | PlanEmpty | CommandSucceeds,
    Field(discriminator="check"),
]


class Phase(Frozen):
    """One phase: what is done in which order, what proves success, and how to go back.

    `after`: numbers of phases that must be completed first. Steps are idempotent: a phase that was
    interrupted continues at its first unfinished step.
    """

    number: int = Field(ge=1)
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$")]
    summary: str
    after: tuple[int, ...] = ()
    steps: tuple[Step, ...] = Field(min_length=1)
    criteria: tuple[Criterion, ...] = Field(min_length=1)
    rollback: tuple[Step, ...] = ()

    @model_validator(mode="after")
    def _after_is_earlier(self) -> Self:
        if any(number >= self.number for number in self.after):
            raise ValueError(f"phase {self.number} must come after earlier phases only")
        return self
