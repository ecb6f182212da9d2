"""The one table of steps of a split: what the code runs and the tests enumerate."""

from __future__ import annotations

from migrate.split.context import SplitContext
from migrate.split.follow_steps import (
    CatchUp,
    Following,
    Indexes,
    PrepareFence,
    Subscribe,
    WayBack,
)
from migrate.split.preflight import Preflight
from migrate.split.split_steps import (
    Claim,
    Copy,
    GuardTarget,
    Keys,
    Publish,
    Scaffold,
    Snapshot,
    Tables,
)
from migrate.split.throttle import Throttle
from migrate.split.verify.verification import Verify
from migrate.steps import Plan


def split_plan(
    *,
    copy_jobs: int = 4,
    verify_jobs: int = 2,
    throttle: Throttle | None = None,
    direct: bool = False,
) -> Plan[SplitContext]:
    """Steps of a split. A failure keeps what is finished: hours of copying are not thrown away."""
    return Plan(
        kind="split",
        steps=(
            Preflight(direct=direct),
            Claim(),
            Scaffold(),
            Tables(),
            Publish(),
            GuardTarget("guard", before_copy=True),
            Snapshot(),
            Copy(copy_jobs, throttle),
            Keys(),
            GuardTarget("guard_late", before_copy=False),
            Subscribe(),
            PrepareFence(),
            CatchUp("catch_up"),
            Indexes(),
            CatchUp("catch_up_again"),
            WayBack(),
            Verify(verify_jobs),
            Following(),
        ),
        on_failure="keep",
    )
