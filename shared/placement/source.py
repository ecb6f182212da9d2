"""Where a service learns the placement of its tables; the control watcher is one such source."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from shared.control.model import ControlState, Placement
from shared.placement.errors import PlacementUnknownError


class PlacementSource(Protocol):
    """The newest known control state and a way to wait for a newer placement."""

    def current(self) -> ControlState:
        """The last good state; never blocks and never touches the database."""
        ...

    async def wait_for_epoch(
        self, service: str, epoch_greater_than: int, deadline: float
    ) -> Placement | None:
        """The placement once its epoch is newer, or None when `deadline` seconds have passed."""
        ...


class Watcher(Protocol):
    """What is needed of `shared.control.watch.ControlWatcher`."""

    @property
    def state(self) -> ControlState | None: ...

    async def wait_for(
        self, predicate: Callable[[ControlState], bool], *, timeout_seconds: float
    ) -> ControlState: ...


class WatchedPlacement:
    """The placement as the process's control watcher has latched it."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher

    def current(self) -> ControlState:
        """The latched state; raises PlacementUnknownError before the first one: no guesses."""
        if (state := self._watcher.state) is None:
            raise PlacementUnknownError
        return state

    async def wait_for_epoch(
        self, service: str, epoch_greater_than: int, deadline: float
    ) -> Placement | None:
        try:
            state = await self._watcher.wait_for(
                lambda state: state.placement(service).epoch > epoch_greater_than,
                timeout_seconds=deadline,
            )
        except TimeoutError:
            return None
        return state.placement(service)


class FixedPlacement:
    """Every service on one placement for ever: for tools, and for a system without a control store."""

    def __init__(self, state: ControlState | None = None) -> None:
        self._state = state or ControlState(version=0)
        self._changed = asyncio.Event()

    def current(self) -> ControlState:
        return self._state

    def replace(self, state: ControlState) -> None:
        """Put another state in force and wake everybody who waits for a newer epoch."""
        self._state = state
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def wait_for_epoch(
        self, service: str, epoch_greater_than: int, deadline: float
    ) -> Placement | None:
        loop = asyncio.get_running_loop()
        until = loop.time() + deadline
        while (placement := self._state.placement(service)).epoch <= epoch_greater_than:
            try:
                async with asyncio.timeout_at(until):
                    await self._changed.wait()
            except TimeoutError:
                return None
        return placement
