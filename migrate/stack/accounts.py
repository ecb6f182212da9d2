"""Operating-system accounts and directories of private servers: PostgreSQL refuses to run as root."""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import stat
from pathlib import Path

from migrate.stack.errors import StackError
from migrate.stack.programs import ServerKind

# The accounts that the distributions' packages create, and the one that always exists.
PACKAGE_ACCOUNTS: dict[ServerKind, str] = {
    "postgres": "postgres",
    "redis": "redis",
    "rabbitmq": "rabbitmq",
}
# Names, in a home that is not beside its stack, the directory of the stack.
ORIGIN = "stack-directory"
FALLBACK_ACCOUNT = "nobody"
SHARED_HOME = Path("/var/tmp")  # noqa: S108  survives a restart of the machine; entries are made safely below


def server_account(kind: ServerKind) -> str | None:
    """Whom a server runs as: ourselves (None), unless we are root."""
    if os.geteuid() != 0:
        return None
    for name in (PACKAGE_ACCOUNTS[kind], FALLBACK_ACCOUNT):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    raise StackError(
        f"{kind} cannot run as root and there is no account for it",
        hint=f"create one: useradd --system {PACKAGE_ACCOUNTS[kind]}",
    )


def is_reachable_by_others(directory: Path) -> bool:
    """Whether any account may pass through every directory down to this one."""
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in (directory, *directory.parents))


def server_home(directory: Path, kind: ServerKind, account: str | None) -> Path:
    """The directory that a server owns below `directory`, created if need be.

    A checkout below /root cannot be entered by another account; then the server's directory is in
    /var/tmp, named after `directory`, with a link from there.
    """
    directory.mkdir(parents=True, exist_ok=True)
    link = directory / kind
    if account is None or is_reachable_by_others(directory):
        home = link
    else:
        digest = hashlib.sha256(str(directory.resolve()).encode()).hexdigest()[:16]
        home = SHARED_HOME / f"strangler-{digest}-{kind}"
        if link.is_symlink() or not link.exists():
            link.unlink(missing_ok=True)
            link.symlink_to(home)
    home.mkdir(mode=0o700, exist_ok=True)
    owner = pwd.getpwnam(account).pw_uid if account else os.geteuid()
    if home.is_symlink() or home.stat().st_uid not in (owner, os.geteuid()):
        raise StackError(f"{home} belongs to somebody else", hint=f"remove it: rm -r {home}")
    if home != link:
        (home / ORIGIN).write_text(str(directory.resolve()))
    give_to(home, account)
    return home


def give_to(path: Path, account: str | None) -> None:
    """Hand a file or directory to an account; nothing to do when it is our own."""
    if account is not None:
        entry = pwd.getpwnam(account)
        os.chown(path, entry.pw_uid, entry.pw_gid)


def remove_stale_homes() -> None:
    """Delete homes in /var/tmp whose stack is gone: a killed test run cannot remove its own."""
    for origin in SHARED_HOME.glob(f"strangler-*/{ORIGIN}"):
        home = origin.parent
        is_ours = home.stat().st_mode & stat.S_IRWXO == 0 and not home.is_symlink()
        if is_ours and not Path(origin.read_text()).exists():
            shutil.rmtree(home, ignore_errors=True)


def remove_home(directory: Path, kind: ServerKind) -> None:
    """Delete a server's directory, wherever `server_home` put it."""
    link = directory / kind
    if link.is_symlink():
        target = link.readlink()
        link.unlink()
        if target.parent == SHARED_HOME and target.name.startswith("strangler-"):
            shutil.rmtree(target, ignore_errors=True)
    elif link.exists():
        shutil.rmtree(link)
