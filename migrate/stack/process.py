"""What a supervised process is and what became of it; plain data, knows nothing of how it is run."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

ProcessStatus = Literal["running", "stopped", "crashed"]


class ProcessSpec(BaseModel):
    """One process to run.

    `env_file` holds `KEY=value` lines (mode 0600, so no secret is on a command line or in a state file).
    `account` is the operating-system account to run as, None for our own. A process with `inherits` also
    sees the environment of the command that started the stack; servers do not, so that a stray PGDATA or
    RABBITMQ_* variable cannot reach them. Processes of a higher `layer` are stopped before those below.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    argv: tuple[str, ...]
    cwd: str
    env_file: str
    log_file: str
    account: str | None = None
    inherits: bool = False
    layer: int = 0
    stop_signal: Literal["SIGTERM", "SIGINT"] = "SIGTERM"
    stop_seconds: float = 10.0


class ProcessState(BaseModel):
    """A process as its supervisor sees it.

    `pid` is that of the last run; `start_ticks` makes it unmistakable after the pid was reused. `exit_code`
    follows Python: negative is the signal that ended it. `crashed` means that it ended without being asked
    to. Times are Unix seconds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    status: ProcessStatus
    pid: int
    start_ticks: int
    started_at: float
    ended_at: float | None = None
    exit_code: int | None = None
    log_file: str = ""

    @property
    def is_running(self) -> bool:
        return self.status == "running"
