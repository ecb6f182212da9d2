"""`migrate flag list|show|set`: the run-time state of routes."""

from __future__ import annotations

import difflib
from dataclasses import replace
from typing import Annotated, Any, cast, get_args

import typer

from migrate.context import Context, get_context, run
from migrate.report import confirm, console, print_json, print_table
from shared.control.barrier import BarrierResult, wait_until_applied
from shared.control.errors import IllegalChangeError, UnknownRouteError
from shared.control.model import Change, ControlState, Flag, FlagChange, Hold, Mode
from shared.control.rows import flag_to_json
from shared.errors import OperatorError
from shared.states import violations

app = typer.Typer(
    help="Which side answers a route: percent, lists, hold, mode.", no_args_is_help=True
)


class InvalidValueError(OperatorError):
    """An option has a value that no flag can have."""

    exit_code = 7


def routes_of(state: ControlState, target: str) -> tuple[str, ...]:
    """Route names that a target means: a route, a service, or `all`; raises UnknownRouteError."""
    if target == "all":
        return tuple(state.flags)
    if target in state.flags:
        return (target,)
    names = tuple(name for name, flag in state.flags.items() if flag.service == target)
    if names:
        return names
    known = [*state.flags, *state.placements]
    close = difflib.get_close_matches(target, known, n=3)
    raise UnknownRouteError("route or service", target, tuple(close))


def flag_row(flag: Flag, state: ControlState) -> tuple[Any, ...]:
    """One row of the table of flags."""
    return (
        flag.route,
        side_of(flag),
        f"{flag.percent:g}",
        f"{flag.shadow_percent:g}" if flag.shadow_percent else "",
        flag.mode if flag.mode != "normal" else "",
        "held" if flag.hold else "",
        f"{len(flag.allow)} / {len(flag.deny)}" if flag.allow or flag.deny else "",
        state.placement(flag.service).side,
    )


def side_of(flag: Flag) -> str:
    """`monolith`, `service` or `both`."""
    if flag.percent == 0.0 and not flag.allow:
        return "monolith"
    return "service" if flag.percent == 100.0 and not flag.deny else "both"


COLUMNS = ("route", "side", "percent", "shadow", "mode", "hold", "allow / deny", "tables")


@app.command("list")
def list_flags(
    target: Annotated[str, typer.Argument(help="A service, a route, or all.")] = "all",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Every flag, or those of one service."""
    state = run(_read(get_context()))
    flags = [state.flags[name] for name in routes_of(state, target)]
    if as_json:
        print_json({"version": state.version, "flags": [flag_to_json(flag) for flag in flags]})
        return
    print_table(
        f"Flags at version {state.version}", COLUMNS, (flag_row(flag, state) for flag in flags)
    )


@app.command("show")
def show_flag(
    target: Annotated[str, typer.Argument(help="A route or a service.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """One flag in full, with its place in the manifest."""
    context = get_context()
    state = run(_read(context))
    names = routes_of(state, target)
    shown = []
    for name in names:
        route = context.manifest.route(name)
        shown.append(
            flag_to_json(state.flags[name])
            | {"tables": state.placement(state.flags[name].service).side}
            | (
                {}
                if route is None
                else {"method": route.method, "path": route.path, "sticky": route.sticky}
            )
        )
    if as_json:
        print_json({"version": state.version, "flags": shown})
        return
    for row in shown:
        print_table(
            str(row["route"]),
            ("key", "value"),
            ((k, _text(v)) for k, v in row.items() if k != "route"),
        )


@app.command("set")
def set_flag(
    targets: Annotated[list[str], typer.Argument(help="Routes or services.")],
    percent: Annotated[
        float | None,
        typer.Option("--percent", min=0, max=100, help="Share of the service, 0 to 100."),
    ] = None,
    shadow: Annotated[
        float | None, typer.Option("--shadow", min=0, max=100, help="Share of copied requests.")
    ] = None,
    allow: Annotated[
        list[str] | None,
        typer.Option("--allow", help="Sticky key that always goes to the service; '' empties."),
    ] = None,
    deny: Annotated[
        list[str] | None,
        typer.Option("--deny", help="Sticky key that always goes to the monolith; '' empties."),
    ] = None,
    mode: Annotated[
        str | None, typer.Option("--mode", help="normal, read_only or maintenance.")
    ] = None,
    hold: Annotated[bool, typer.Option("--hold", help="Let new requests wait.")] = False,
    hold_seconds: Annotated[
        float, typer.Option("--hold-seconds", min=0.1, max=60, help="When a hold ends by itself.")
    ] = 20.0,
    release: Annotated[bool, typer.Option("--release", help="End a hold.")] = False,
    reason: Annotated[str, typer.Option("--reason", help="Why, for the history.")] = "",
    if_version: Annotated[
        int | None, typer.Option("--if-version", help="Refuse if the store is at another version.")
    ] = None,
    timeout: Annotated[
        float,
        typer.Option("--timeout", min=0.1, max=300, help="Seconds to wait for live instances."),
    ] = 5.0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check and show, change nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Change flags, wait until every live instance has applied them, and say how long that took."""
    change = _change(percent, shadow, allow, deny, mode, hold, hold_seconds, release)
    if not reason.strip():
        raise InvalidValueError('say why with --reason "…"; it is kept in the history')
    context = get_context()
    state = run(_read(context))
    names = tuple(dict.fromkeys(name for target in targets for name in routes_of(state, target)))
    after = {name: state.flags[name].with_changes(change) for name in names}
    if dry_run:
        _show_plan(state, after, as_json=as_json)
        return
    if not as_json:
        confirm(f"Change {len(names)} route(s)?", yes=yes)
    changed, barrier = run(_set(context, names, change, reason, if_version, timeout))
    _show_result(changed, barrier, as_json=as_json)


async def _read(context: Context) -> ControlState:
    async with context.store() as store:
        return await store.state()


async def _set(
    context: Context,
    names: tuple[str, ...],
    change: FlagChange,
    reason: str,
    if_version: int | None,
    timeout_seconds: float,
) -> tuple[Change, BarrierResult]:
    async with context.store() as store:
        changed = await store.set_flags(
            dict.fromkeys(names, change),
            actor=context.actor,
            reason=reason,
            expected_version=if_version,
        )
        return changed, await wait_until_applied(store, changed, timeout_seconds=timeout_seconds)


def _change(
    percent: float | None,
    shadow: float | None,
    allow: list[str] | None,
    deny: list[str] | None,
    mode: str | None,
    hold: bool,
    hold_seconds: float,
    release: bool,
) -> FlagChange:
    for name, value in (("percent", percent), ("shadow", shadow)):
        if value is not None and round(value, 2) != value:
            raise InvalidValueError(f"--{name} {value} is finer than 0.01; round it")
    if mode is not None and mode not in get_args(Mode):
        raise InvalidValueError(f"--mode {mode} is none of: {', '.join(get_args(Mode))}")
    if hold and release:
        raise InvalidValueError("--hold and --release exclude each other")
    change = FlagChange(
        percent=percent,
        shadow_percent=shadow,
        allow=None if allow is None else frozenset(key for key in allow if key),
        deny=None if deny is None else frozenset(key for key in deny if key),
        mode=cast("Mode | None", mode),
        hold=Hold(total_seconds=hold_seconds) if hold else None,
        clear_hold=release,
    )
    if change == FlagChange():
        raise InvalidValueError(
            "nothing to change; give --percent, --shadow, --allow, --deny, --mode or --hold"
        )
    return change


def _show_plan(state: ControlState, after: dict[str, Flag], *, as_json: bool) -> None:
    whole = replace(state, flags={**state.flags, **after})
    if broken := violations(whole.route_states(), whole.data_states()):
        raise IllegalChangeError(broken)
    rows = [(state.flags[name], flag) for name, flag in after.items() if flag != state.flags[name]]
    if as_json:
        print_json(
            {
                "version": state.version,
                "changes": [
                    {"before": flag_to_json(old), "after": flag_to_json(new)} for old, new in rows
                ],
            }
        )
        return
    if not rows:
        console.print("nothing would change")
        return
    print_table(
        f"Would change at version {state.version}",
        ("route", "percent", "becomes", "side"),
        ((old.route, f"{old.percent:g}", f"{new.percent:g}", side_of(new)) for old, new in rows),
    )


def _show_result(change: Change, barrier: BarrierResult, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "version": change.version,
                "changed": list(change.changed),
                "applied": [
                    {
                        "instance": row.instance,
                        "kind": row.kind,
                        "milliseconds": round(row.seconds * 1000, 1),
                    }
                    for row in barrier.applied
                ],
                "lost": list(barrier.lost),
            }
        )
        return
    if not change.changed:
        console.print(f"nothing to change; the store is at version {change.version}")
        return
    console.print(f"version {change.version}: changed {', '.join(change.changed)}")
    if barrier.applied:
        print_table(
            "Applied by",
            ("instance", "kind", "after ms"),
            ((row.instance, row.kind, f"{row.seconds * 1000:.1f}") for row in barrier.applied),
        )
    else:
        console.print("no live instance: the next one to start reads it")
    for name in barrier.lost:
        console.print(
            f"warning: {name} has not reported lately; if it is gone, `migrate instances forget {name}`"
        )


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(str(entry) for entry in value) or "none"
    return "" if value is None else str(value)
