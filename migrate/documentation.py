"""The generated parts of the README, from the same tables that the code runs; writes nothing else."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import typer

from migrate.exit_codes import ExitCode
from shared.manifest import load_manifest
from shared.states import DATA_TRANSITIONS, OWNING_DATABASE, PHASE_TRANSITIONS

MARK = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def commands() -> str:
    """A row per command with the first line of its help."""
    from migrate.cli import app

    rows = [f"| `migrate {words}` | {help_line} |" for words, help_line in _walk(app, "")]
    return "\n".join(["| Command | What it does |", "| --- | --- |", *rows])


def _walk(app: typer.Typer, prefix: str) -> Iterator[tuple[str, str]]:
    """Commands, then groups, each by name: the order of registration depends on who imports first."""
    found: list[tuple[str, str]] = []
    for command in app.registered_commands:
        callback = command.callback
        name = command.name or (callback.__name__.replace("_", "-") if callback else "")
        text = command.help or (callback.__doc__ if callback else "") or ""
        if not command.hidden:
            found.append((f"{prefix}{name}", text.strip().splitlines()[0] if text.strip() else ""))
    yield from sorted(found)
    groups = {
        str(group.name or group.typer_instance.info.name): group.typer_instance
        for group in app.registered_groups
        if group.typer_instance is not None and not group.hidden
    }
    for group_name in sorted(groups):
        yield from _walk(groups[group_name], f"{prefix}{group_name} ")


def exit_codes() -> str:
    """A row per exit code."""
    lines = Path(sys.modules[ExitCode.__module__].__file__ or "").read_text(encoding="utf-8")
    meaning = dict(re.findall(r"^    ([A-Z_]+) = \d+  # (.*)$", lines, re.MULTILINE))
    rows = [f"| {code.value} | {meaning[code.name]} |" for code in ExitCode]
    return "\n".join(["| Code | Meaning |", "| --- | --- |", *rows])


def data_states() -> str:
    """The life of a service's tables as a diagram."""
    lines = ["```mermaid", "stateDiagram-v2", "  [*] --> shared"]
    for before, nexts in DATA_TRANSITIONS.items():
        lines += [f"  {before} --> {after}" for after in sorted(nexts)]
        lines.append(f"  {before}: {before}, owner is the {OWNING_DATABASE[before]} database")
    return "\n".join([*lines, "```"])


def phase_states() -> str:
    """The life of a phase as a diagram."""
    lines = ["```mermaid", "stateDiagram-v2", "  [*] --> pending"]
    for before, nexts in PHASE_TRANSITIONS.items():
        lines += [f"  {before} --> {after}" for after in sorted(nexts)]
    return "\n".join([*lines, "```"])


def phases() -> str:
    """A row per phase of the shipped manifest with its steps."""
    manifest = load_manifest("migration.toml")
    rows = []
    for phase in manifest.phases:
        steps = " → ".join(step.do for step in phase.steps)
        after = ", ".join(str(number) for number in phase.after) or "–"
        rows.append(f"| {phase.number} | {phase.name} | {after} | {steps} | {phase.summary} |")
    return "\n".join(
        ["| Phase | Name | After | Steps | Summary |", "| --- | --- | --- | --- | --- |", *rows]
    )


def services() -> str:
    """A row per service of the shipped manifest."""
    rows = [
        f"| `{service.name}` | {len(service.routes)} | {len(service.tables)} | {service.placement} |"
        for service in load_manifest("migration.toml").services.values()
    ]
    return "\n".join(
        ["| Service | Routes | Tables | Where the tables end |", "| --- | --- | --- | --- |", *rows]
    )


PARTS: dict[str, Callable[[], str]] = {
    part.__name__: part
    for part in (commands, exit_codes, data_states, phase_states, phases, services)
}


def regenerate(text: str) -> str:
    """The README with every generated part made anew."""
    return MARK.sub(lambda found: f"{found[1]}{PARTS[found[2]]()}\n{found[3]}", text)


def main() -> int:
    """`python -m migrate.documentation`: rewrite README.md in place; 1 when it changed."""
    readme = Path("README.md")
    old = readme.read_text(encoding="utf-8")
    new = regenerate(old)
    if new == old:
        return 0
    readme.write_text(new, encoding="utf-8")
    sys.stdout.write("README.md was brought up to date\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
