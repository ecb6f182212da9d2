"""Where the local stack keeps its files; one place for every path below `.stack`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

#: The checkout that this code belongs to: processes are started from it.
REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths of one stack. `root` is absolute."""

    root: Path

    @property
    def state(self) -> Path:
        """What was started where: ports, addresses without passwords, times."""
        return self.root / "state.json"

    @property
    def credentials(self) -> Path:
        """Generated secrets, mode 0600."""
        return self.root / "credentials.json"

    @property
    def lock(self) -> Path:
        """Held while a command changes the stack."""
        return self.root / "up.lock"

    @property
    def command_environment(self) -> Path:
        """What the `migrate` command needs to reach this stack (`migrate.context`)."""
        return self.env_file("migrate")

    @property
    def demo_report(self) -> Path:
        return self.root / "demo-report.json"

    def env_file(self, process: str) -> Path:
        return self.root / "env" / f"{process}.env"

    def log_file(self, process: str) -> Path:
        return self.root / "logs" / f"{process}.log"

    def data(self, process: str) -> Path:
        """Files that a process of ours may write: snapshots, media, mail."""
        return self.root / "data" / process
