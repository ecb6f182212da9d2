"""The one table of steps of a switch: what the code runs, the tests enumerate, the README draws."""

from __future__ import annotations

from migrate.split.canary import Proof
from migrate.split.gate import Gate
from migrate.split.hold import Hold
from migrate.split.loose_keys import CutKeys
from migrate.split.names import Direction
from migrate.split.silence import WatchReads
from migrate.split.switch import SwitchContext
from migrate.split.switch_after import (
    Armed,
    Everywhere,
    FollowBack,
    ForgetSlot,
    Place,
    Ready,
    Release,
    SkipEcho,
    StopFollowing,
    Unguard,
)
from migrate.split.switch_steps import Applied, Fence, Flush, Lock, Open, Token
from migrate.steps import Plan

#: What an operator types for a switch in each direction.
COMMANDS = {Direction.FORWARD: "cutover", Direction.REVERSE: "rollback"}


def switch_plan(direction: Direction) -> Plan[SwitchContext]:
    """Steps of a cutover or of a rollback; they are the same, with the roles exchanged."""
    return Plan(
        kind=COMMANDS[direction],
        steps=(
            Ready(),
            Gate(),
            CutKeys(),
            Hold(),
            Lock(),
            Token(),
            Applied(),
            Flush(),
            Fence(),
            Open(),
            Place(),
            Release(),
            Everywhere(),
            StopFollowing(),
            SkipEcho(),
            FollowBack(),
            Armed(),
            Proof(),
            Unguard(),
            ForgetSlot(),
            WatchReads(),
        ),
        on_failure="undo",
        decides="fence",
    )
