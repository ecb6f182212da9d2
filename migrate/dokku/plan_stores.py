"""Plans databases, caches and brokers: creation, settings, networks, versions, roles; pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from migrate.dokku.argv import LONG_SECONDS, DokkuCommand, command
from migrate.dokku.change import Change, Difference, Effect, Note, NoteKind
from migrate.dokku.database import DatabaseState
from migrate.dokku.desired import STORE_PORTS, DesiredApp, DesiredHost, Value
from migrate.dokku.observed import ObservedHost, ObservedStore
from migrate.dokku.roles import DesiredRole, role_statements, script, setting_statements
from shared.manifest_dokku import Link, Store

#: What a fresh database of a store looks like to the probe.
FRESH_DATABASE = DatabaseState({}, {}, (), (), {"public": {"public": frozenset({"USAGE"})}}, {}, "")


@dataclass(frozen=True, slots=True)
class Passwords:
    """Passwords of roles by (store, role): those on the host, and fresh ones for the others.

    `dsn` stands in for the address of a store, by (kind, store), that does not exist yet.
    """

    known: Mapping[tuple[str, str], str]
    fresh: Callable[[str, str], str]
    dsn: Callable[[str, str], Value | None] = lambda _kind, _store: None

    def of(self, store: str, role: str) -> str:
        """The password that the role has or will get."""
        return self.known.get((store, role)) or self.fresh(store, role)


def known_passwords(desired: DesiredHost, observed: ObservedHost) -> dict[tuple[str, str], str]:
    """Passwords that stand in the DSNs of the apps' variables on the host."""
    found: dict[tuple[str, str], str] = {}
    for app in desired.apps.values():
        current = observed.apps.get(app.name)
        for link in app.links:
            if link.role is None or current is None:
                continue
            parts = urlsplit(current.config.get(link.env, ""))
            if parts.username == link.role and parts.password:
                found.setdefault((link.store, link.role), parts.password)
    return found


def database_name(store: str) -> str:
    """Name of the database that the plugin makes for a store."""
    return store.replace("-", "_").replace(".", "_")


def store_host(kind: str, store: str) -> str:
    """Name of a store on the networks that it is attached to, and behind a link."""
    return f"dokku-{kind}-{store}".replace("_", "-")


def unreadable_digest(store: Store) -> str:
    """Hash of the options that act at creation only and that Dokku does not report."""
    options = [store.memory_mb, store.shm_size, sorted(store.custom_env.items())]
    return hashlib.sha256(json.dumps(options).encode()).hexdigest()


def create_command(name: str, store: Store) -> DokkuCommand:
    """The command that makes a store with everything that acts at creation."""
    words = [f"{store.kind}:create", name, "--image-version", store.image_version]
    if store.image:
        words += ["--image", store.image]
    if store.settings:
        options = " ".join(f"-c {key}={value}" for key, value in store.settings.items())
        words += ["--config-options", options]
    if store.networks:
        words += ["--post-create-network", ",".join(store.networks)]
    if store.memory_mb is not None:
        words += ["--memory", str(store.memory_mb)]
    if store.shm_size:
        words += ["--shm-size", store.shm_size]
    if store.custom_env:
        pairs = ";".join(f"{key}={value}" for key, value in store.custom_env.items())
        words += ["--custom-env", pairs]
    return command(*words, timeout_seconds=LONG_SECONDS)


def plan_store(name: str, store: Store, observed: ObservedHost) -> Iterator[Change | Note]:
    """Changes of one store, without its roles."""
    current = observed.stores.get(name)
    subject = f"store {name}"
    digest = {f"{subject} options": unreadable_digest(store)}
    if current is None:
        image = f"{store.kind} {store.image_version}"
        commands = [create_command(name, store), *_expose(name, store, ""), *_backup(name, store)]
        yield Change(subject, (Difference("exists", "no", image),), tuple(commands), digests=digest)
        return
    recorded = observed.digests.get(f"{subject} options")
    if recorded is not None and recorded != digest[f"{subject} options"]:
        yield Note(
            subject, NoteKind.BLOCKED,
            "memory_mb, shm_size or custom_env were changed after it was made, which Dokku cannot do;"
            " take the change back, or move the data to a new store",
        )  # fmt: skip
    if not current.is_running:
        start = command(f"{store.kind}:start", name, timeout_seconds=LONG_SECONDS)
        difference = Difference("status", current.status or "(none)", "running")
        yield Change(subject, (difference,), (start,), restarts=current.links)
        return
    yield from _version(name, store, current)
    yield from _reconfigure(name, store, current)
    if exposing := _expose(name, store, current.exposed):
        difference = Difference(
            "exposed", current.exposed or "(none)", " ".join(store.expose) or "(none)"
        )
        yield Change(subject, (difference,), tuple(exposing))
    yield from _backup_change(name, store, current)


def _version(name: str, store: Store, current: ObservedStore) -> Iterator[Change | Note]:
    have = current.version.rpartition(":")[2]
    if have == store.image_version:
        return
    subject, difference = f"store {name}", Difference("version", have, store.image_version)
    if have.split(".")[0].split("-")[0] != store.major and store.kind == "postgres":
        yield Note(
            subject, NoteKind.BLOCKED,
            f"runs {have}, the manifest wants {store.image_version}: data files of two majors do not"
            " fit; split its tables into a new store, or put the running version into the manifest",
        )  # fmt: skip
        return
    upgrade = command(
        f"{store.kind}:upgrade", name, "--image-version", store.image_version,
        timeout_seconds=LONG_SECONDS,
    )  # fmt: skip
    yield Change(subject, (difference,), (upgrade,), Effect.INTERRUPT, restarts=current.links)


def _reconfigure(name: str, store: Store, current: ObservedStore) -> Iterator[Change | Note]:
    """Settings and networks together: both need the short stop at most once."""
    kind, subject = store.kind, f"store {name}"
    differences: list[Difference] = []
    commands: list[DokkuCommand] = []
    stops = False
    state = current.database or FRESH_DATABASE
    for key, value in store.settings.items():
        setting = state.settings.get(key)
        if setting is None or setting.shown == value:
            continue
        if setting.source == "command line":
            yield Note(
                subject, NoteKind.BLOCKED,
                f"{key} is {setting.shown} because it was given at creation, which wins over every"
                f" later change; put {setting.shown} into the manifest, or move to a new store",
            )  # fmt: skip
            continue
        differences.append(Difference(f"settings.{key}", setting.shown, value))
        stops = stops or setting.needs_start
    wanted = {d.key.removeprefix("settings."): d.after for d in differences}
    if statements := setting_statements(wanted, state):
        commands.append(
            command(f"{kind}:connect", name, stdin=script(statements, ()), stdin_from="(settings)")
        )
    if current.post_create_network != set(store.networks):
        before, after = sorted(current.post_create_network), ",".join(store.networks)
        differences.append(
            Difference("post-create-network", ",".join(before) or "(none)", after or "(none)")
        )
        commands.append(
            command(f"{kind}:set", name, "post-create-network", *([after] if after else []))
        )
        stops = True
    if not differences:
        return
    if stops:  # `restart` keeps the container, so neither networks nor links would change
        commands += [
            command(f"{kind}:stop", name, timeout_seconds=LONG_SECONDS),
            command(f"{kind}:start", name, timeout_seconds=LONG_SECONDS),
        ]
    yield Change(
        subject,
        tuple(differences),
        tuple(commands),
        Effect.INTERRUPT if stops else Effect.NONE,
        restarts=current.links if stops else frozenset(),
    )


def _expose(name: str, store: Store, exposed: str) -> list[DokkuCommand]:
    have = [part.partition("->")[2] for part in exposed.split()]
    if have == list(store.expose):
        return []
    undo = [command(f"{store.kind}:unexpose", name)] if have else []
    do = [command(f"{store.kind}:expose", name, *store.expose)] if store.expose else []
    return undo + do


def _backup(name: str, store: Store) -> list[DokkuCommand]:
    if store.backup is None:
        return []
    flags = ["--use-iam"] if store.backup.use_iam else []
    schedule, bucket = store.backup.schedule, store.backup.bucket
    return [command(f"{store.kind}:backup-schedule", name, schedule, bucket, *flags)]


def _backup_change(name: str, store: Store, current: ObservedStore) -> Iterator[Change]:
    if store.backup is None:
        return
    words = current.backup.split()
    wanted = [*store.backup.schedule.split(), store.backup.bucket]
    same_account = ("--use-iam" in words) == store.backup.use_iam
    if words[:5] == wanted[:5] and store.backup.bucket in words and same_account:
        return
    before = " ".join(words[:5]) or "(none)"
    difference = Difference("backup", before, " ".join(wanted))
    yield Change(f"store {name}", (difference,), tuple(_backup(name, store)))


def roles_of(
    store: str, apps: Sequence[DesiredApp], passwords: Passwords
) -> tuple[DesiredRole, ...]:
    """The login roles that the apps use in a store; one role of two apps has the rights of both."""
    roles: dict[str, DesiredRole] = {}
    for app in apps:
        for link in app.links:
            if link.store != store or link.role is None:
                continue
            old = roles.get(link.role)
            rights = app.rights.get(store, ())
            roles[link.role] = DesiredRole(
                link.role,
                passwords.of(store, link.role),
                (*old.rights, *rights) if old else rights,
            )
    return tuple(roles.values())


def plan_roles(
    store: str,
    apps: Sequence[DesiredApp],
    observed: ObservedHost,
    passwords: Passwords,
    password_of: Callable[[DesiredRole], str],
) -> Iterator[Change]:
    """One script with everything that differs about the roles of a store."""
    roles = roles_of(store, apps, passwords)
    current = observed.stores.get(store)
    if not roles or (current is not None and current.database is None):
        return
    state = FRESH_DATABASE if current is None else current.database or FRESH_DATABASE
    statements = role_statements(roles, state, password_of)
    if not statements:
        return
    differences = tuple(_difference(statement) for statement in statements)
    sql = command("postgres:connect", store, stdin=script((), statements), stdin_from="(roles)")
    yield Change(f"store {store}", differences, (sql,))


def _difference(statement: str) -> Difference:
    """A readable line of a statement, without the verifier of a password."""
    text = statement.rstrip(";").partition(" PASSWORD ")[0].replace('"', "")
    if text.startswith("DO "):
        text = "GRANT CREATE ON DATABASE to " + text.split("'")[-2]
    verb, _, rest = text.partition(" ")
    return Difference(f"roles: {verb.lower()}", "", rest)


def link_value(
    desired: DesiredHost, link: Link, observed: ObservedHost, passwords: Passwords
) -> str | None:
    """What the app's variable of a link must hold; None while the store does not exist yet."""
    store = desired.section.stores[link.store]
    current = observed.stores.get(link.store)
    on_k3s = desired.section.scheduler == "k3s"
    host = store_host(store.kind, link.store)
    port = STORE_PORTS[store.kind]
    if on_k3s:
        host = desired.section.k3s.store_host
        port = int(store.expose[0].rpartition(":")[2]) if store.expose else port
    tail = f"?{link.querystring}" if link.querystring else ""
    if link.role is not None:
        name = urlsplit(current.dsn).path if current else f"/{database_name(link.store)}"
        password = passwords.of(link.store, link.role)
        return f"postgresql://{link.role}:{password}@{host}:{port}{name}{tail}"
    if current is None:
        return None
    if not on_k3s:
        return current.dsn + tail
    parts = urlsplit(current.dsn)
    user = f"{parts.username or ''}:{parts.password or ''}"
    return parts._replace(netloc=f"{user}@{host}:{port}").geturl() + tail
