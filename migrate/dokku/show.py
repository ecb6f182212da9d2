"""Plans as text for people and as data for programs; prints nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from migrate.dokku.argv import shell_line
from migrate.dokku.change import Change, Effect, NoteKind, Plan

#: What an effect means to whoever reads a plan.
EFFECT_WORDS = {
    Effect.NONE: "",
    Effect.RELOAD: "reloads nginx",
    Effect.RESTART: "replaces containers",
    Effect.INTERRUPT: "INTERRUPTS",
}
_NOTE_WORDS = {
    NoteKind.WAITS: "waits",
    NoteKind.BLOCKED: "needs you",
    NoteKind.UNMANAGED: "left alone",
}


def plan_lines(plan: Plan, *, commands: bool = False) -> Iterable[str]:
    """A readable difference: one block per subject, with what is disturbed."""
    subject = ""
    for change in plan.changes:
        if change.subject != subject:
            subject = change.subject
            yield subject
        for difference in change.differences:
            yield "  ~ " + _difference(difference.key, difference.before, difference.after)
        if words := effect_words(change):
            yield f"    ({words})"
        if commands:
            for one in change.commands:
                yield f"    $ {shell_line(one)}"
    for note in plan.notes:
        yield f"{note.subject}"
        yield f"  ! {_NOTE_WORDS[note.kind]}: {note.text}"
    yield summary(plan)


def _difference(key: str, before: str, after: str) -> str:
    return f"{key}: {before} → {after}" if before else f"{key} {after}"


def effect_words(change: Change) -> str:
    """What a change disturbs, with the apps whose containers are replaced."""
    words = EFFECT_WORDS[change.effect]
    apps = ", ".join(sorted(change.redeploys))
    if change.effect is Effect.INTERRUPT:
        return f"{words} {change.subject}" + (
            f" and replaces the containers of {apps}" if apps else ""
        )
    return f"{words} of {apps}" if apps else words


def summary(plan: Plan) -> str:
    """The last line."""
    if plan.is_empty:
        return "no difference"
    parts = [f"{sum(len(c.differences) for c in plan.changes)} difference(s)"]
    parts.append(f"{len(plan.commands)} command(s)")
    if restarted := sorted(plan.restarted()):
        parts.append(f"containers replaced: {', '.join(restarted)}")
    if interrupting := [c.subject for c in plan.changes if c.effect is Effect.INTERRUPT]:
        parts.append(f"INTERRUPTS: {', '.join(dict.fromkeys(interrupting))}")
    if plan.blocked:
        parts.append(f"{len(plan.blocked)} thing(s) need you first")
    return ", ".join(parts)


def plan_data(plan: Plan) -> dict[str, Any]:
    """The same for programs."""
    return {
        "empty": plan.is_empty,
        "effect": str(plan.effect),
        "restarts": sorted(plan.restarted()),
        "changes": [
            {
                "subject": change.subject,
                "effect": str(change.effect),
                "redeploys": sorted(change.redeploys),
                "differences": [
                    {"key": d.key, "before": d.before, "after": d.after} for d in change.differences
                ],
                "commands": [shell_line(one) for one in change.commands],
            }
            for change in plan.changes
        ],
        "notes": [
            {"subject": note.subject, "kind": str(note.kind), "text": note.text}
            for note in plan.notes
        ],
    }
