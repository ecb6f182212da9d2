"""Plans the environment of an app: links to stores and variables, all values on stdin; pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from migrate.dokku.argv import DokkuCommand, command
from migrate.dokku.change import Change, Difference, Hashing, Note, NoteKind
from migrate.dokku.desired import DesiredApp, DesiredHost, Value
from migrate.dokku.observed import ObservedApp, ObservedHost
from migrate.dokku.plan_stores import Passwords, link_value
from shared.manifest_dokku import Link

#: Variables that Dokku and its plugins set by themselves.
_DOKKU_OWN = frozenset({"GIT_REV", "NO_VHOST", "PORT"})


def links(
    app: DesiredApp,
    current: ObservedApp,
    desired: DesiredHost,
    observed: ObservedHost,
    hashing: Hashing,
) -> Iterator[Change | Note]:
    """Links that are missing, and superuser variables that a link with a role leaves behind.

    On k3s there are no links: stores are exposed and the variables hold their addresses.
    """
    if desired.section.scheduler == "k3s":
        return
    for link in app.links:
        kind = desired.section.stores[link.store].kind
        store = observed.stores.get(link.store)
        variable = f"{link.plugin_alias}_URL"
        left_over = variable in current.config
        commands: list[DokkuCommand] = []
        differences: list[Difference] = []
        if store is None or app.name not in store.links:
            if blocking := _blocking(link, current):
                commands.append(command("config:unset", "--no-restart", app.name, *blocking))
            query = ["--querystring", link.querystring] if link.querystring else []
            flags = ["--alias", link.plugin_alias, *query, "--no-restart"]
            commands.append(command(f"{kind}:link", link.store, app.name, *flags))
            differences.append(Difference(f"link.{link.store}", "(none)", link.env))
            left_over = not link.sets_itself
        if not link.sets_itself and left_over:
            commands.append(command("config:unset", "--no-restart", app.name, variable))
            if variable in current.config:
                differences.append(
                    Difference(
                        f"config.{variable}", hashing.digest(current.config[variable]), "(unset)"
                    )
                )
        if commands:
            yield Change(
                f"app {app.name}",
                tuple(differences),
                tuple(commands),
                restarts=frozenset({app.name} if current.is_deployed else ()),
            )
    declared = {link.store for link in app.links}
    for store in observed.stores.values():
        if app.name in store.links and store.name not in declared:
            yield Note(
                f"app {app.name}", NoteKind.UNMANAGED,
                f"is linked to {store.name}, which the manifest does not say; take it away with:"
                f" dokku {store.kind}:unlink {store.name} {app.name}",
            )  # fmt: skip


def wanted_config(
    app: DesiredApp,
    desired: DesiredHost,
    observed: ObservedHost,
    passwords: Passwords,
) -> dict[str, Value]:
    """Every variable that the manifest gives to an app, with the DSNs of its links."""
    wanted = dict(app.config)
    on_k3s = desired.section.scheduler == "k3s"
    for link in app.links:
        store = observed.stores.get(link.store)
        is_linked = store is not None and app.name in store.links
        if link.sets_itself and not is_linked and not on_k3s:
            continue  # the link itself sets it
        text = link_value(desired, link, observed, passwords)
        if text is not None:
            wanted[link.env] = Value(text, True, _shell(link, text, passwords))
        elif later := passwords.dsn(desired.section.stores[link.store].kind, link.store):
            wanted[link.env] = later
    return wanted


def _blocking(link: Link, current: ObservedApp) -> list[str]:
    """Variables that the plugin takes for a link that is there, so that it refuses to make it."""
    names = [f"{link.plugin_alias}_URL"] + ([link.env] if link.role is None else [])
    return [name for name in dict.fromkeys(names) if name in current.config]


def _shell(link: Link, text: str, passwords: Passwords) -> str:
    if link.role is None:
        return f'"${link.env}"'
    return (
        '"' + text.replace(passwords.of(link.store, link.role), f"${{{link.role}_password}}") + '"'
    )


def variables(
    app: DesiredApp,
    current: ObservedApp,
    desired: DesiredHost,
    observed: ObservedHost,
    passwords: Passwords,
    hashing: Hashing,
) -> Iterator[Change | Note]:
    """One import for all variables that differ; the values are on stdin only."""
    subject = f"app {app.name}"
    for key, advice in sorted(app.missing.items()):
        if key not in current.config:
            yield Note(subject, NoteKind.BLOCKED, f"{key} has no value: {advice}")
    wanted = wanted_config(app, desired, observed, passwords)
    changed = {
        key: value
        for key, value in sorted(wanted.items())
        if not same_value(current.config.get(key), value.text)
    }
    if changed:
        yield Change(
            subject,
            tuple(
                Difference(
                    f"config.{key}",
                    _before(current.config.get(key), value, hashing),
                    hashing.show(value),
                )
                for key, value in changed.items()
            ),
            (import_command(app.name, changed),),
            restarts=frozenset({app.name} if current.is_deployed else ()),
        )
    known = {*wanted, *app.missing, *(link.env for link in app.links)}
    known |= {f"{link.plugin_alias}_URL" for link in app.links}
    extra = [k for k in sorted(current.config) if k not in known and not _is_dokku_s(k)]
    if extra:
        yield Note(subject, NoteKind.UNMANAGED, f"variables left alone: {', '.join(extra)}")


def _before(text: str | None, value: Value, hashing: Hashing) -> str:
    return hashing.show(None if text is None else Value(text, value.is_secret))


def _is_dokku_s(key: str) -> bool:
    return key in _DOKKU_OWN or key.startswith("DOKKU_")


def same_value(have: str | None, wanted: str) -> bool:
    """Equal, where the two schemes of PostgreSQL URLs mean the same."""
    return have is not None and _plain_scheme(have) == _plain_scheme(wanted)


def _plain_scheme(text: str) -> str:
    return (
        "postgres" + text.removeprefix("postgresql") if text.startswith("postgresql://") else text
    )


def import_command(app: str, values: Mapping[str, Value]) -> DokkuCommand:
    """Set variables without a redeploy; `stdin_from` says how a script makes the same input."""
    body = json.dumps({key: value.text for key, value in values.items()}).encode()
    assignments = " ".join(f"{key}={value.shell}" for key, value in values.items())
    return command(
        "--quiet", "config:import", "--no-restart", "--format", "json", app, "-",
        stdin=body, stdin_from=f"{assignments} json_of {' '.join(values)}",
    )  # fmt: skip
