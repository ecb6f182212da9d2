"""Keeps a process on the newest control state: notifications, polling, latch and snapshot."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import asyncpg
import structlog

from shared.control.errors import NotInitializedError
from shared.control.instances import (
    HEARTBEAT_SECONDS,
    REPORT_NOW,
    InstanceInfo,
    report,
    sign_off,
)
from shared.control.model import ControlState
from shared.control.snapshot import SnapshotError, read_snapshot, write_snapshot
from shared.control.store import CHANNEL
from shared.control.tables import STATEMENT_SECONDS, read_state

#: Time between two looks at the version when no notification arrives, in seconds.
POLL_SECONDS = 1.0
#: Longest pause between two attempts to reconnect, in seconds.
RECONNECT_SECONDS = 2.0

log = structlog.get_logger(__name__)

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


class ControlWatcher:
    """Follows the control store in the background and latches the last good state.

    `state` is None only until the first good reading or snapshot; it is replaced as a whole and
    never goes back to None. `connected` says whether the store was reached within the last poll.
    `on_change` runs on the event loop, before the version is reported as applied: when it raises,
    the version is not reported and the old state stays.
    """

    def __init__(
        self,
        dsn: str,
        *,
        instance: InstanceInfo | None = None,
        snapshot: Path | None = None,
        on_change: Callable[[ControlState], None] | None = None,
        stats: Callable[[], Mapping[str, Any]] | None = None,
    ) -> None:
        self._dsn = dsn
        self._instance = instance
        self._snapshot = snapshot
        self._on_change = on_change
        self._stats = stats or dict
        self._wake = asyncio.Event()
        self._changed = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None
        self._saved: ControlState | None = None
        self._is_asked = False  # for a report, by somebody who wants fresh figures
        self.state: ControlState | None = None
        self.connected = False
        self.source = "none"  # none | snapshot | store
        self.last_error: str | None = None

    async def start(self, *, first_reading_seconds: float = 5.0) -> None:
        """Load the first state: from the store, else from the snapshot, else stay without one."""
        self._task = asyncio.create_task(self._run(), name="control-watcher")
        try:
            async with asyncio.timeout(first_reading_seconds), self._changed:
                await self._changed.wait_for(lambda: self.state is not None or self._failed_once())
        except TimeoutError:
            self.last_error = "no answer in time"
        if self.state is None:
            self._load_snapshot()

    async def stop(self) -> None:
        """Stop following and sign the instance off."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def wait_for(
        self, predicate: Callable[[ControlState], bool], *, timeout_seconds: float
    ) -> ControlState:
        """The first state that satisfies `predicate`; raises TimeoutError at the deadline."""
        async with asyncio.timeout(timeout_seconds), self._changed:
            await self._changed.wait_for(lambda: self.state is not None and predicate(self.state))
        state = self.state
        assert state is not None  # noqa: S101 - the condition above holds
        return state

    # ---- the loop -----------------------------------------------------------------------------

    async def _run(self) -> None:
        pause = 0.05
        while True:
            try:
                await self._follow()
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                await self._lost(type(error).__name__)
            except NotInitializedError:
                await self._lost("the control store is not initialised")
            except Exception as error:  # a state that `on_change` refuses must not end the watch
                log.exception("control_state_refused")
                await self._lost(f"the new state was refused: {type(error).__name__}")
            if self.source == "store":
                pause = 0.05 if pause > RECONNECT_SECONDS else pause
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
            pause = min(pause * 2, RECONNECT_SECONDS)

    async def _follow(self) -> None:
        connection: Connection = await asyncpg.connect(
            self._dsn,
            timeout=STATEMENT_SECONDS,
            command_timeout=STATEMENT_SECONDS,
            server_settings={"application_name": self._application_name()},
        )
        try:
            await connection.add_listener(CHANNEL, self._on_notify)
            connection.add_termination_listener(lambda _connection: self._wake.set())
            reported = -1
            last_report = 0.0
            clock = asyncio.get_running_loop().time
            while True:
                self._wake.clear()
                if connection.is_closed():
                    raise ConnectionResetError
                state = await self._read(connection)
                self.connected = True
                self.last_error = None
                if self.state is None or self.source != "store" or state != self.state:
                    await self._apply(state)
                if self._instance is not None and (
                    reported != state.version
                    or self._is_asked
                    or clock() - last_report >= HEARTBEAT_SECONDS * 0.9
                ):
                    self._is_asked = False
                    await report(connection, self._instance, state.version, self._stats())
                    reported, last_report = state.version, clock()
                await self._save(state)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(POLL_SECONDS):
                        await self._wake.wait()
        except asyncio.CancelledError:
            await self._leave(connection)
            raise
        finally:
            connection.terminate()

    async def _read(self, connection: Connection) -> ControlState:
        """The newest state; the whole is read only when the version moved."""
        version = await connection.fetchval("SELECT version FROM strangler.control")
        if self.state is not None and self.source == "store" and version == self.state.version:
            return self.state
        return await read_state(connection)

    async def _apply(self, state: ControlState) -> None:
        if self._on_change is not None:
            self._on_change(state)
        self.state = state
        self.source = "store"
        async with self._changed:
            self._changed.notify_all()

    async def _save(self, state: ControlState) -> None:
        """Write the snapshot; after the report, so that the disk does not delay a barrier."""
        if self._snapshot is None or self._saved is state:
            return
        try:
            await asyncio.to_thread(write_snapshot, self._snapshot, state)
            self._saved = state
        except OSError as error:
            log.warning("snapshot_not_written", path=str(self._snapshot), error=str(error))

    async def _lost(self, reason: str) -> None:
        if self.connected or self.last_error is None:
            log.warning("control_store_lost", reason=reason, latched=self.state is not None)
        self.connected = False
        self.last_error = reason
        async with self._changed:
            self._changed.notify_all()

    async def _leave(self, connection: Connection) -> None:
        if self._instance is None or connection.is_closed():
            return
        with contextlib.suppress(
            OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError
        ):
            await sign_off(connection, self._instance.id)

    def _load_snapshot(self) -> None:
        if self._snapshot is None:
            return
        try:
            state = read_snapshot(self._snapshot)
        except SnapshotError as error:
            log.warning("snapshot_refused", reason=str(error))
            return
        if state is not None:
            if self._on_change is not None:
                self._on_change(state)
            self.state = state
            self.source = "snapshot"
            log.warning("serving_from_snapshot", version=state.version)

    def _failed_once(self) -> bool:
        return self.last_error is not None

    def _on_notify(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        self._is_asked |= payload == REPORT_NOW
        self._wake.set()

    def _application_name(self) -> str:
        return f"strangler/{self._instance.name}" if self._instance else "strangler/watcher"
