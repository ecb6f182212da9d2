"""Which processes of our own a stack has: what the manifest names and the tree contains; pure but for looking."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ProcessKind = Literal["monolith", "service", "worker", "router", "stand_ins"]

#: Name of the process that stands in for the vendors' clouds.
STAND_INS = "stand-ins"

#: Stopped from the highest to the lowest: clients first lose the router, apps never lose a server.
LAYER: dict[ProcessKind, int] = {
    "stand_ins": 1,
    "worker": 2,
    "monolith": 3,
    "service": 3,
    "router": 4,
}


@dataclass(frozen=True, slots=True)
class AppProcess:
    """One process of ours: `python -m <module>`. `domain` is `monolith`, a service, `router` or
    `stand-ins`."""

    name: str
    module: str
    kind: ProcessKind
    domain: str

    @property
    def listens(self) -> bool:
        return self.kind != "worker"


def find_processes(
    repository: Path, services: Iterable[str], *, stand_ins: bool = False
) -> tuple[AppProcess, ...]:
    """Stand-ins if wanted, monolith, the services whose program exists, their workers, and the router, in the
    order of starting."""
    found = (
        [AppProcess(STAND_INS, "migrate.stack.stand_ins", "stand_ins", STAND_INS)]
        if stand_ins
        else []
    )
    found += _domain(repository / "monolith", "monolith", "monolith")
    for service in services:
        found += _domain(repository / "services" / service, service, f"services.{service}")
    return (*found, AppProcess("router", "router", "router", "router"))


def _domain(folder: Path, domain: str, module: str) -> list[AppProcess]:
    if not (folder / "__main__.py").exists():
        return []
    kind: ProcessKind = "monolith" if domain == "monolith" else "service"
    found = [AppProcess(domain, module, kind, domain)]
    if (folder / "worker.py").exists() or (folder / "worker" / "__main__.py").exists():
        found.append(AppProcess(f"{domain}-worker", f"{module}.worker", "worker", domain))
    return found
