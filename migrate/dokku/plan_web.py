"""Plans how an app is reached: proxy, ports, host names, nginx, maintenance page, certificate; pure."""

from __future__ import annotations

from collections.abc import Iterator

from migrate.dokku.argv import DokkuCommand, command
from migrate.dokku.change import Change, Difference, Effect, Note, NoteKind
from migrate.dokku.desired import HTTPS_PORT, DesiredApp, DesiredHost
from migrate.dokku.observed import ObservedApp, ObservedHost


def proxy(
    app: DesiredApp, current: ObservedApp, desired: DesiredHost, observed: ObservedHost
) -> Iterator[Change | Note]:
    """Whether nginx stands in front. Turning it on or off replaces the containers of a live app."""
    subject = f"app {app.name}"
    if current.has_proxy == app.public:
        return
    verb = "enable" if app.public else "disable"
    names = sorted(current.domains) if current.has_proxy and current.domains_enabled else []
    claimed = {d: other.name for other in desired.apps.values() for d in other.domains}
    taken = [name for name in names if claimed.get(name, app.name) != app.name]
    if taken and current.is_deployed:
        yield Note(
            subject, NoteKind.WAITS,
            f"answers {', '.join(taken)}, which the manifest gives to {claimed[taken[0]]}: its proxy"
            " stays until the step take_domain has moved the name",
        )  # fmt: skip
        return
    effect = Effect.NONE
    if current.is_deployed:
        effect = Effect.INTERRUPT if names else Effect.RESTART
    yield Change(
        subject,
        (Difference("proxy", "on" if current.has_proxy else "off", "on" if app.public else "off"),),
        (command(f"proxy:{verb}", app.name),),
        effect,
        redeploys=frozenset({app.name} if current.is_deployed else ()),
    )


def ports(app: DesiredApp, current: ObservedApp) -> Iterator[Change]:
    """The port map: it decides PORT and the port of the checks, also without a proxy."""
    wanted = {app.port_map}
    secure = f"https:{HTTPS_PORT}:{app.port}"
    if app.public and current.has_certificate:
        wanted.add(secure)
    have = current.port_map
    if have == wanted:
        return
    yield Change(
        f"app {app.name}",
        (Difference("ports", " ".join(sorted(have)) or "(none)", " ".join(sorted(wanted))),),
        (command("ports:set", app.name, *sorted(wanted)),),
        Effect.RELOAD if app.public and current.is_deployed else Effect.NONE,
        restarts=frozenset({app.name} if current.is_deployed else ()),
    )


def domains(
    app: DesiredApp, current: ObservedApp, observed: ObservedHost
) -> Iterator[Change | Note]:
    """The host names of a public app; never set while domains are off, where Dokku loses them."""
    if not app.public:
        return
    subject = f"app {app.name}"
    elsewhere = {
        name: observed.domain_owners[name]
        for name in app.domains
        if observed.domain_owners.get(name, app.name) != app.name
    }
    for name, owner in sorted(elsewhere.items()):
        yield Note(
            subject, NoteKind.WAITS,
            f"{name} belongs to {owner} on this host; the step take_domain moves it without a gap",
        )  # fmt: skip
    wanted = app.domains - set(elsewhere)
    have = current.domains if current.domains_enabled else frozenset()
    if have == wanted or not wanted:
        return
    # proxy:enable turns domains on by itself and comes before this change
    off = not current.domains_enabled and current.has_proxy
    enable = [command("domains:enable", app.name)] if off else []
    live = current.is_deployed
    yield Change(
        subject,
        (Difference("domains", " ".join(sorted(have)) or "(none)", " ".join(sorted(wanted))),),
        (*enable, command("domains:set", app.name, *sorted(wanted))),
        (Effect.RESTART if enable else Effect.RELOAD) if live else Effect.NONE,
        redeploys=frozenset({app.name} if enable and live else ()),
    )


def nginx(app: DesiredApp, current: ObservedApp) -> Iterator[Change]:
    """The nginx properties of a public app, exactly; one rebuild of the vhost for all of them."""
    if not app.public:
        return
    wanted = {key: value for (plugin, key), value in app.properties.items() if plugin == "nginx"}
    differences: list[Difference] = []
    commands: list[DokkuCommand] = []
    for key, value in wanted.items():
        have = current.computed("nginx", key)
        if have != value:
            differences.append(Difference(f"nginx.{key}", have or "(default)", value))
            commands.append(command("nginx:set", app.name, key, value))
    for key, have in sorted(current.reports.get("nginx", {}).items()):
        by_hand = have not in {"", current.get("nginx", f"global-{key}")}
        if by_hand and key not in wanted and is_own_nginx_key(key):
            differences.append(Difference(f"nginx.{key}", have, "(default)"))
            commands.append(command("nginx:set", app.name, key))
    if not differences:
        return
    live = current.is_deployed
    if live:
        commands.append(command("proxy:build-config", app.name))
    yield Change(
        f"app {app.name}",
        tuple(differences),
        tuple(commands),
        Effect.RELOAD if live else Effect.NONE,
    )


def is_own_nginx_key(key: str) -> bool:
    """Whether a key of `nginx:report` is a property that somebody set for the app."""
    return not key.startswith(("computed-", "global-")) and key != "last-visited-at"


def maintenance(app: DesiredApp, current: ObservedApp) -> Iterator[Change]:
    """The maintenance page of a public app."""
    if not app.public or not current.is_deployed:
        return
    have = current.get("maintenance", "enabled") == "true"
    if have == app.maintenance:
        return
    verb = "enable" if app.maintenance else "disable"
    yield Change(
        f"app {app.name}",
        (Difference("maintenance", "on" if have else "off", "on" if app.maintenance else "off"),),
        (command(f"maintenance:{verb}", app.name),),
        Effect.INTERRUPT if app.maintenance else Effect.RELOAD,
    )


def certificate(
    app: DesiredApp, current: ObservedApp, observed: ObservedHost
) -> Iterator[Change | Note]:
    """The certificate of a public app, once it is deployed and owns its names."""
    if not (app.public and app.letsencrypt):
        return
    subject = f"app {app.name}"
    if not current.is_deployed:
        yield Note(subject, NoteKind.WAITS, "letsencrypt waits for the first deploy")
        return
    owned = {name for name in app.domains if observed.domain_owners.get(name, app.name) == app.name}
    if owned != app.domains:
        return
    commands: list[DokkuCommand] = []
    differences: list[Difference] = []
    if current.get("letsencrypt", "active") != "true":
        differences.append(Difference("letsencrypt", "off", "on"))
        commands.append(command("letsencrypt:enable", app.name, timeout_seconds=600))
    if current.get("letsencrypt", "autorenew") != "true":
        differences.append(Difference("letsencrypt.autorenew", "off", "on"))
        commands.append(command("letsencrypt:cron-job", "--add"))
    if commands:
        yield Change(subject, tuple(differences), tuple(commands), Effect.RELOAD)
