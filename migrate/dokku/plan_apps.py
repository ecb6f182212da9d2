"""Plans what an app is and runs: source, processes, network, limits, storage, tasks; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from migrate.dokku.argv import LONG_SECONDS, DokkuCommand, command
from migrate.dokku.change import Change, Difference, Effect, Note, NoteKind
from migrate.dokku.desired import DesiredApp
from migrate.dokku.observed import ObservedApp
from migrate.dokku.reports import listed

#: What Dokku 0.38 reports for an app that was just created on a host without global properties.
_FRESH: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "ps": {
            "restart-policy": "on-failure:10",
            "stop-timeout-seconds": "30",
            "can-scale": "true",
        },
        "checks": {"wait-to-retire": "60"},
        "scheduler": {"selected": "docker-local"},
        "scheduler-k3s": {"namespace": "default"},
        "registry": {"push-on-release": "false"},
        "proxy": {"enabled": "true", "type": "nginx"},
        "domains": {"app-enabled": "true"},
    }
)

#: Properties that act only when containers are made anew; all others act by themselves later.
_RESTARTING = frozenset(
    {
        ("network", "attach-post-create"),
        ("network", "attach-post-deploy"),
        ("network", "initial-network"),
        ("network", "tld"),
        ("scheduler", "selected"),
        ("scheduler-k3s", "namespace"),
    }
)

#: Docker options that links and mounts bring by themselves.
_PLUGINS_OWN = ("--link", "-v ", "--volume", "--restart=")


def fresh_app(name: str) -> ObservedApp:
    """An app as `apps:create` leaves it."""
    return ObservedApp(name, _FRESH, {}, {"web": 1}, (), ())


def create(app: DesiredApp) -> Change:
    """The app itself."""
    return Change(
        f"app {app.name}", (Difference("exists", "no", "yes"),), (command("apps:create", app.name),)
    )


def properties(app: DesiredApp, current: ObservedApp) -> Iterator[Change]:
    """Every `X:set` property but those of nginx; unsetting first, as a network may be in one place only."""
    for (plugin, key), wanted in sorted(app.properties.items(), key=lambda item: item[1] != ""):
        if plugin == "nginx":
            continue
        have = current.computed(plugin, key)
        if listed(have) == listed(wanted) if plugin == "network" else have == wanted:
            continue
        value = [wanted] if wanted else []
        restarts = current.is_deployed and (plugin, key) in _RESTARTING
        yield Change(
            f"app {app.name}",
            (Difference(f"{plugin}.{key}", have or "(unset)", wanted or "(unset)"),),
            (command(f"{plugin}:set", app.name, key, *value),),
            restarts=frozenset({app.name} if restarts else ()),
        )


def checks(app: DesiredApp, current: ObservedApp) -> Iterator[Change]:
    """Health checks must be on for every process type."""
    off = listed(current.get("checks", "disabled-list"))
    off |= listed(current.get("checks", "skipped-list"))
    if off:
        yield Change(
            f"app {app.name}",
            (Difference("checks", f"off for {', '.join(sorted(off))}", "on"),),
            (command("checks:enable", app.name),),
        )


def scale(app: DesiredApp, current: ObservedApp, *, skip_deploy: bool) -> Iterator[Change | Note]:
    """Quantities; types that the manifest does not name go to zero."""
    subject = f"app {app.name}"
    wanted = {**{name: 0 for name, count in current.scale.items() if count}, **app.scale}
    changed = {name: n for name, n in wanted.items() if current.scale.get(name, 0) != n}
    if not changed:
        return
    if current.get("ps", "can-scale") == "false":
        yield Note(
            subject, NoteKind.BLOCKED,
            "its app.json has formation quantities, so Dokku refuses to scale it; take `formation` out",
        )  # fmt: skip
        return
    live = current.is_deployed
    flags = ["--skip-deploy"] if skip_deploy or not live else []
    words = [f"{name}={count}" for name, count in changed.items()]
    yield Change(
        subject,
        tuple(
            Difference(f"scale.{name}", str(current.scale.get(name, 0)), str(count))
            for name, count in changed.items()
        ),
        (command("ps:scale", *flags, app.name, *words),),
        Effect.RESTART if live and not flags else Effect.NONE,
        restarts=frozenset({app.name} if live and flags else ()),
        redeploys=frozenset({app.name} if live and not flags else ()),
    )


def limits(app: DesiredApp, current: ObservedApp) -> Iterator[Change]:
    """Memory and processor limits, one command per process type."""
    have: dict[tuple[str, str], str] = {}
    for key, value in current.reports.get("resource", {}).items():
        process, _, rest = key.partition(".limit.")
        if rest in {"memory", "cpu"} and value:
            have[process, rest] = value
    for process in dict.fromkeys(name for name, _ in (*app.limits, *sorted(have))):
        differences: list[Difference] = []
        words: list[str] = []
        for kind in ("memory", "cpu"):
            before, after = have.get((process, kind)), app.limits.get((process, kind))
            if before != after:
                differences.append(
                    Difference(f"limit.{process}.{kind}", before or "(none)", after or "(none)")
                )
                words += [f"--{kind}", after or "clear"]
        if differences:
            scope = [] if process == "_default_" else ["--process-type", process]
            yield Change(
                f"app {app.name}",
                tuple(differences),
                (command("resource:limit", *scope, *words, app.name),),
                restarts=frozenset({app.name} if current.is_deployed else ()),
            )


def storage(
    app: DesiredApp, current: ObservedApp, entries: set[str], scheduler: str
) -> Iterator[Change | Note]:
    """Named storage entries and their mounts; a new entry is added to `entries`, as apps may share one."""
    mounted = {(mount.entry, mount.container_dir) for mount in current.mounts}
    for mount in app.storage:
        commands: list[DokkuCommand] = []
        if mount.name not in entries:
            entries.add(mount.name)
            words = ["storage:create", mount.name]
            words += [mount.host_dir] if mount.host_dir else []
            words += ["--scheduler", scheduler] if scheduler != "docker-local" else []
            words += ["--size", mount.size] if mount.size and scheduler == "k3s" else []
            words += ["--chown", mount.chown] if mount.chown and scheduler != "k3s" else []
            words += ["--mode", mount.mode] if mount.mode and scheduler != "k3s" else []
            commands.append(command(*words))
        if (mount.name, mount.container_dir) not in mounted:
            commands.append(
                command(
                    "storage:mount", app.name, mount.name, "--container-dir", mount.container_dir
                )
            )
        if commands:
            yield Change(
                f"app {app.name}",
                (Difference(f"storage.{mount.name}", "(none)", mount.container_dir),),
                tuple(commands),
                restarts=frozenset({app.name} if current.is_deployed else ()),
            )
    wanted = {(mount.name, mount.container_dir) for mount in app.storage}
    for entry, folder in sorted(mounted - wanted):
        text = f"{entry or 'a folder of the host'} is mounted at {folder}"
        yield Note(f"app {app.name}", NoteKind.UNMANAGED, text)


def docker_options(app: DesiredApp, current: ObservedApp) -> Iterator[Change | Note]:
    """Declared Docker options that are missing; Dokku itself would add a second one silently."""
    for row in app.docker_options:
        have = current.docker_options(row.phase)
        if row.option in have:
            if have.count(row.option) > 1:
                yield Note(
                    f"app {app.name}", NoteKind.UNMANAGED,
                    f"Docker option {row.option!r} is there {have.count(row.option)} times",
                )  # fmt: skip
            continue
        live = current.is_deployed and row.phase == "deploy"
        yield Change(
            f"app {app.name}",
            (Difference(f"docker-options.{row.phase}", "(none)", row.option),),
            (command("docker-options:add", app.name, row.phase, row.option),),
            restarts=frozenset({app.name} if live else ()),
        )
    for phase in ("build", "deploy", "run"):
        declared = {row.option for row in app.docker_options if row.phase == phase}
        for option in current.docker_options(phase):
            if option not in declared and not option.startswith(_PLUGINS_OWN):
                text = f"Docker option of {phase} left alone: {option}"
                yield Note(f"app {app.name}", NoteKind.UNMANAGED, text)


def cron(app: DesiredApp, current: ObservedApp) -> Iterator[Change | Note]:
    """Scheduled tasks come with app.json at a deploy; none of them stays suspended."""
    for task in current.tasks:
        if task.is_suspended:
            yield Change(
                f"app {app.name}",
                (Difference(f"cron.{task.identity}", "suspended", "active"),),
                (command("cron:resume", app.name, task.identity),),
            )
    wanted = {(task.schedule, task.command) for task in app.cron}
    have = {(task.schedule, task.command) for task in current.tasks}
    if wanted != have and current.is_deployed:
        rows = [f"{schedule} {line} is missing" for schedule, line in sorted(wanted - have)]
        rows += [f"{schedule} {line} is too many" for schedule, line in sorted(have - wanted)]
        yield Note(
            f"app {app.name}", NoteKind.WAITS,
            f"tasks by the clock come from {app.folder}/app.json with the next deploy: {'; '.join(rows)}",
        )  # fmt: skip


def running(app: DesiredApp, current: ObservedApp, *, is_stopped: bool) -> Iterator[Change]:
    """Processes run, unless a phase stopped them for good."""
    if not current.is_deployed or not any(app.scale.values()):
        return
    subject = f"app {app.name}"
    if is_stopped and current.running != "false":
        difference = Difference("running", current.running, "stopped for good")
        stop = command("ps:stop", app.name, timeout_seconds=LONG_SECONDS)
        yield Change(subject, (difference,), (stop,), Effect.INTERRUPT)
    elif not is_stopped and current.running in {"false", "mixed"}:
        verb = "start" if current.running == "false" else "restart"
        yield Change(
            subject,
            (Difference("running", current.running, "true"),),
            (command(f"ps:{verb}", app.name, timeout_seconds=LONG_SECONDS),),
            Effect.RESTART,
            redeploys=frozenset({app.name}),
        )
