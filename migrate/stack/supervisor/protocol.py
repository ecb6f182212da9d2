"""What commands and the supervisor say to each other: one JSON line each way over a Unix socket."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from migrate.stack.process import ProcessSpec, ProcessState

SignalName = Literal["SIGKILL", "SIGSTOP", "SIGCONT", "SIGTERM", "SIGHUP"]


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Start(_Message):
    """Run a process; if one of that name runs already, nothing happens."""

    command: Literal["start"] = "start"
    spec: ProcessSpec


class Stop(_Message):
    """Ask a process to end, kill it and everything below it after its stop time, and wait for that."""

    command: Literal["stop"] = "stop"
    name: str


class Signal(_Message):
    """Send a signal to a process and everything below it, as a fault would come."""

    command: Literal["signal"] = "signal"
    name: str
    signal: SignalName


class Await(_Message):
    """Answer when a process has ended."""

    command: Literal["await"] = "await"
    name: str


class ListProcesses(_Message):
    command: Literal["list"] = "list"


class Shutdown(_Message):
    """Stop everything in the reverse order of starting, answer, and end."""

    command: Literal["shutdown"] = "shutdown"


Request = Annotated[
    Start | Stop | Signal | Await | ListProcesses | Shutdown, Field(discriminator="command")
]
REQUEST: TypeAdapter[Request] = TypeAdapter(Request)


class Answer(_Message):
    """`processes` is the state after the request, in the order of starting; `error` is None when it was done."""

    error: str | None = None
    processes: tuple[ProcessState, ...] = ()


class SupervisorRecord(_Message):
    """The supervisor's own file: enough to reach it, and to clean up after it should it be killed."""

    pid: int
    start_ticks: int
    socket: str
    processes: tuple[ProcessState, ...] = ()
