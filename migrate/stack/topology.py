"""Which processes of our own a stack has: what the manifest names and the tree contains; pure but for looking."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ProcessKind = Literal["monolith", "service", "worker", "router"]

#: Stopped from the highest to the lowest: clients first lose the router, apps never lose a server.
LAYER: dict[ProcessKind, int] = {"worker": 2, "monolith": 3, "service": 3, "router": 4}


@dataclass(frozen=True, slots=True)
class AppProcess:
    """One process of ours: `python -m <module>`. `domain` is `monolith`, a service, or `router`."""

    name: str
    module: str
    kind: ProcessKind
    domain: str

    @property
    def listens(self) -> bool:
        return self.kind != "worker"


def find_processes(repository: Path, services: Iterable[str]) -> tuple[AppProcess, ...]:
    """Monolith, the services whose program exists, their workers, and the router, in the order of starting."""
    found = _domain(repository / "monolith", "monolith", "monolith")
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
