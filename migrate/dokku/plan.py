"""The plan: what differs between the manifest and a host, in order, with what each command disturbs; pure."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from migrate.dokku import plan_apps, plan_config, plan_web
from migrate.dokku.argv import command
from migrate.dokku.change import Change, Difference, Effect, Hashing, Note, NoteKind, Plan
from migrate.dokku.desired import DesiredApp, DesiredHost, Value
from migrate.dokku.observed import ObservedHost
from migrate.dokku.plan_stores import Passwords, known_passwords, plan_roles, plan_store
from migrate.dokku.roles import DesiredRole, scram_verifier

#: Rounds of the hash that stands for a registry's password in the control store: slow to guess.
LOGIN_HASH_ROUNDS = 200_000


def fresh_password(_store: str, _role: str) -> str:
    """48 hexadecimal digits; safe in URLs, SQL and shells."""
    return secrets.token_hex(24)


def verifier(role: DesiredRole) -> str:
    """What the server stores for a role's password, so that the password itself does not travel in SQL."""
    return scram_verifier(role.password, secrets.token_bytes(16))


@dataclass(frozen=True)
class Planner:
    """Makes plans; what is random about them comes in here, so that tests can fix it."""

    hashing: Hashing = field(default_factory=lambda: Hashing(secrets.token_bytes(16)))
    password: Callable[[str, str], str] = fresh_password
    password_of: Callable[[DesiredRole], str] = verifier
    #: Stands in for the address, by (kind, store), of a store that does not exist yet.
    dsn: Callable[[str, str], Value | None] = lambda _kind, _store: None
    #: Leave containers alone: changes act at the next deploy.
    keep_running: bool = False

    def plan(self, desired: DesiredHost, observed: ObservedHost, apps: Sequence[str]) -> Plan:
        """Changes and notes for the named apps, the stores that they use and the host itself."""
        made: dict[tuple[str, str], str] = {}

        def fresh(store: str, role: str) -> str:
            return made.setdefault((store, role), self.password(store, role))

        passwords = Passwords(known_passwords(desired, observed), fresh, self.dsn)
        wanted = [desired.apps[name] for name in apps]
        used = _used_stores(observed, wanted)
        found = [
            *_host(desired, observed, wanted),
            *self._stores(desired, observed, wanted, passwords, used),
        ]
        entries = set(observed.storage_entries)
        for app in wanted:
            present = replace(app, links=tuple(link for link in app.links if link.store in used))
            found += self._app(present, desired, observed, passwords, entries)
        found += self._restarts([row for row in found if isinstance(row, Change)], observed)
        changes = tuple(row for row in found if isinstance(row, Change))
        return Plan(changes, tuple(row for row in found if isinstance(row, Note)))

    def _stores(
        self,
        desired: DesiredHost,
        observed: ObservedHost,
        apps: Sequence[DesiredApp],
        passwords: Passwords,
        used: frozenset[str],
    ) -> Iterator[Change | Note]:
        for name, store in desired.stores.items():
            if name in used:
                yield from plan_store(name, store, observed)
                yield from plan_roles(name, apps, observed, passwords, self.password_of)

    def _app(
        self,
        app: DesiredApp,
        desired: DesiredHost,
        observed: ObservedHost,
        passwords: Passwords,
        entries: set[str],
    ) -> Iterator[Change | Note]:
        current = observed.apps.get(app.name)
        if current is None:
            yield plan_apps.create(app)
            current = plan_apps.fresh_app(app.name)
        elif current.is_locked:
            yield Note(
                f"app {app.name}", NoteKind.BLOCKED,
                f"is locked by a deploy; wait for it, or run `dokku apps:unlock {app.name}`",
            )  # fmt: skip
            return
        first: list[Change | Note] = [
            *plan_apps.properties(app, current),
            *plan_web.ports(app, current),
            *plan_apps.checks(app, current),
            *plan_apps.storage(app, current, entries, desired.section.scheduler),
            *plan_apps.docker_options(app, current),
            *plan_config.links(app, current, desired, observed, self.hashing),
            *plan_config.variables(app, current, desired, observed, passwords, self.hashing),
            *plan_apps.limits(app, current),
            *plan_apps.cron(app, current),
        ]
        restarts = any(isinstance(row, Change) and (row.restarts or row.redeploys) for row in first)
        stopped = observed.is_stopped(app.name)
        yield from first
        yield from plan_apps.scale(
            app, current, skip_deploy=restarts or stopped or self.keep_running
        )
        if not (restarts or self.keep_running):
            yield from plan_apps.running(app, current, is_stopped=stopped)
        if stopped:
            return  # what follows would start it
        yield from plan_web.proxy(app, current, desired, observed)
        yield from plan_web.domains(app, current, observed)
        yield from plan_web.nginx(app, current)
        if desired.section.scheduler == "docker-local":
            yield from plan_web.maintenance(app, current)
            yield from plan_web.certificate(app, current, observed)

    def _restarts(
        self, changes: Sequence[Change], observed: ObservedHost
    ) -> Iterator[Change | Note]:
        """One restart per app that needs it and that no later command replaces anyhow."""
        if self.keep_running:
            return
        needed: dict[str, int] = {}
        replaced: dict[str, int] = {}
        for place, change in enumerate(changes):
            needed |= dict.fromkeys(sorted(change.restarts), place)
            replaced |= dict.fromkeys(change.redeploys, place)
        for app, place in needed.items():
            if replaced.get(app, -1) > place:
                continue
            if observed.is_stopped(app):
                yield Note(
                    f"app {app}", NoteKind.WAITS,
                    "was stopped by a phase, so nothing starts it here: the changes act when that phase"
                    " is rolled back",
                )  # fmt: skip
                continue
            yield Change(
                f"app {app}",
                (Difference("containers", "before the changes", "after them"),),
                (command("ps:restart", app),),
                Effect.RESTART,
                redeploys=frozenset({app}),
            )


def _used_stores(observed: ObservedHost, apps: Sequence[DesiredApp]) -> frozenset[str]:
    """Stores that are there or that these apps bring; a link with `if_exists` brings none."""
    brought = {link.store for app in apps for link in app.links if not link.if_exists}
    linked = {link.store for app in apps for link in app.links}
    return frozenset(brought | (linked & set(observed.stores)))


def _host(
    desired: DesiredHost, observed: ObservedHost, apps: Sequence[DesiredApp]
) -> Iterator[Change]:
    """What belongs to no app: a typo must not create one, networks, the letsencrypt account."""
    if not observed.autocreation_disabled:
        yield Change(
            "host",
            (Difference("apps.disable-autocreation", "false", "true"),),
            (command("apps:set", "--global", "disable-autocreation", "true"),),
        )
    section = desired.section
    networks = [section.network] if section.scheduler == "docker-local" else []
    for app in apps:
        networks += [n for link in app.links for n in section.stores[link.store].networks]
    for name in dict.fromkeys(networks):
        if name not in observed.networks:
            yield Change(
                "host",
                (Difference(f"network.{name}", "(none)", "exists"),),
                (command("network:create", name),),
            )
    if section.scheduler == "k3s":
        yield from _registry_login(desired, observed)
    elif any(app.letsencrypt for app in apps):
        for key, wanted in (
            ("email", section.letsencrypt_email),
            ("server", section.letsencrypt_server),
        ):
            have = observed.letsencrypt.get(f"global-{key}", "")
            if have != wanted and not (key == "server" and {have, wanted} <= {"", "default"}):
                yield Change(
                    "host",
                    (Difference(f"letsencrypt.{key}", have or "(none)", wanted),),
                    (command("letsencrypt:set", "--global", key, wanted),),
                )


def _registry_login(desired: DesiredHost, observed: ObservedHost) -> Iterator[Change]:
    """Dokku does not tell who is logged in where, so a hash of the login is kept."""
    k3s, password = desired.section.k3s, desired.registry_password
    if password is None:
        return
    salt = f"{k3s.registry}\n{k3s.registry_user}".encode()
    kept = hashlib.pbkdf2_hmac("sha256", password.text.encode(), salt, LOGIN_HASH_ROUNDS)
    digest = {"registry login": kept.hex()}
    if observed.digests.get("registry login") == digest["registry login"]:
        return
    login = command(
        "registry:login", "--global", "--password-stdin", k3s.registry, k3s.registry_user,
        stdin=password.text.encode(), stdin_from=f"<(printf %s {password.shell})",
    )  # fmt: skip
    difference = Difference("registry", "unknown", f"{k3s.registry_user} at {k3s.registry}")
    yield Change("host", (difference,), (login,), digests=digest)
