"""A Dokku host in memory: every command of the grammar is known, those that matter keep state.

Behaves as the real host in what surprises people: existing things are failures, a missing app is
exit 20, a failed redeploy after `config:set` is exit 0, domains are lost while they are off.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.dokku_host.postgres import Databases
from tests.dokku_host.state import App, State, Store
from tests.dokku_host.words import Call, RefusedError, commands, parse, split_line

Handler = Callable[["FakeHost", Call], str | None]
HANDLERS: dict[str, Handler] = {}


def handles(*names: str) -> Callable[[Handler], Handler]:
    """Register a handler; it returns stdout and raises RefusedError."""

    def register(handler: Handler) -> Handler:
        for name in names:
            assert name in commands(), f"{name} is not in the grammar"
            HANDLERS[name] = handler
        return handler

    return register


@dataclass(frozen=True)
class Result:
    """What a command gives back."""

    exit: int
    stdout: bytes
    stderr: bytes


@dataclass
class FakeHost:
    """The host. `log` has every command with its outcome; the other fields make it fail on purpose."""

    databases: Databases
    state: State = field(default_factory=State)
    log: list[list[str]] = field(default_factory=list)
    refused: list[list[str]] = field(default_factory=list)
    #: Apps whose new containers never pass their checks.
    failing_deploys: set[str] = field(default_factory=set)
    #: Apps whose pushes end with 0 and deploy nothing.
    silent_pushes: set[str] = field(default_factory=set)
    #: Commands (as one string) that fail this many more times.
    failures: dict[str, int] = field(default_factory=dict)
    #: Run the release tasks of deploys for real, in this repository.
    run_releases: bool = False
    #: Commands that came over ssh.
    sessions: int = 0
    #: After this many changing commands the connection is gone, until it is set to None.
    cut_after: int | None = None
    lock: threading.RLock = field(default_factory=threading.RLock)

    def ssh(self, line: str, stdin: bytes = b"") -> Result:
        """A line that came over ssh."""
        self.sessions += 1
        try:
            words = split_line(line)
        except RefusedError as error:
            return Result(error.code, b"", f" !     {error}\n".encode())
        return self.execute(words, stdin)

    def execute(self, words: Sequence[str], stdin: bytes = b"") -> Result:
        """One command."""
        with self.lock:
            return self._execute(list(words), stdin)

    def _execute(self, words: list[str], stdin: bytes) -> Result:
        is_change = not reads(words)
        if is_change:
            if self.cut_after is not None:
                if self.cut_after <= 0:
                    return Result(255, b"", b"Connection closed by remote host\n")
                self.cut_after -= 1
            self.log.append(words)
        joined = " ".join(words)
        if self.failures.get(joined, 0) > 0:
            self.failures[joined] -= 1
            return Result(1, b"", b" !     the disk is full\n")
        try:
            call = parse(words, stdin)
            self._verify(call)
            output = HANDLERS.get(call.name, _unknown)(self, call) or ""
        except RefusedError as error:
            if is_change:
                self.refused.append(words)
            return Result(error.code, b"", f" !     {error}\n".encode())
        return Result(0, output.encode("utf-8", "surrogateescape"), b"")

    def _verify(self, call: Call) -> None:
        facts = commands()[call.name]
        if "--global" in call.flags or "--all" in call.flags or call.args[:1] == ["--global"]:
            return
        names = [argument["name"] for argument in facts.get("args", [])]
        if facts.get("app_verified") and "app" in names and len(call.args) > names.index("app"):
            self.app(call.args[names.index("app")])

    def app(self, name: str) -> App:
        """The app; exit 20 when there is none."""
        try:
            return self.state.apps[name]
        except KeyError:
            raise RefusedError(f"App {name} does not exist", 20) from None

    def store(self, call: Call) -> Store:
        """The store of a service plugin's command; exit 1 when there is none."""
        name = call.args[0] if call.args else ""
        try:
            return self.state.stores[call.plugin, name]
        except KeyError:
            title = {"postgres": "Postgres", "redis": "Redis", "rabbitmq": "RabbitMQ"}[call.plugin]
            raise RefusedError(f"{title} service {name} does not exist") from None

    def property(self, plugin: str, app: str, key: str, default: str = "") -> str:
        """In effect: the app's own value, else the global one, else Dokku's default."""
        values = self.state.properties
        return values.get((plugin, app, key)) or values.get((plugin, "--global", key)) or default

    def changes(self) -> list[str]:
        """The changing commands so far, as lines."""
        return [" ".join(words) for words in self.log]


_READ = re.compile(
    r":(report|exists|list|list-entries|linked|links|app-links|info|export|locked|show|active"
    r"|backup-schedule-cat|output|preview)$|^(version|logs)$"
)


def reads(words: Sequence[str]) -> bool:
    """Whether a command leaves the host as it is."""
    plain = [word for word in words if not word.startswith("--")]
    if not plain:
        return True
    if plain[0] == "ps:scale":
        return not any("=" in word for word in plain[1:])
    return bool(_READ.search(plain[0])) or plain[0] in {"checks:run", "run"}


def document(data: object) -> str:
    """A JSON answer."""
    return json.dumps(data) + "\n"


def _unknown(_host: FakeHost, call: Call) -> str:
    raise AssertionError(f"{call.name} has no behaviour in this host; teach it one")


def make_host(databases: Databases) -> FakeHost:
    """A host with Dokku and the plugins that the host set-up script installs."""
    from tests.dokku_host import apps, containers, deploys, stores, web  # noqa: F401 - they register handlers

    host = FakeHost(databases)
    host.state.plugins = {
        "postgres": "1.48.0",
        "redis": "1.43.0",
        "rabbitmq": "1.40.5",
        "letsencrypt": "0.25.1",
        "maintenance": "0.5.0",
    }
    return host
