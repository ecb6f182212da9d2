"""A plan as a shell script that a person can read and run, on the host or from afar; pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence

from migrate.dokku.argv import DokkuCommand
from migrate.dokku.change import Change, Hashing
from migrate.dokku.desired import DesiredHost, Value
from migrate.dokku.observed import ObservedHost
from migrate.dokku.plan import Planner
from migrate.dokku.roles import DesiredRole

_HEAD = """#!/usr/bin/env bash
# Made from the manifest: brings an empty host to its state; safe to run again.
# Run it on the host, or from afar with DOKKU_HOST=dokku@HOST. It takes secrets from your environment:
# {secrets}
set -euo pipefail

dokku() {{
  if command -v dokku >/dev/null && [ -z "${{DOKKU_HOST:-}}" ]; then
    command dokku "$@"
  else
    ssh -T ${{DOKKU_SSH_OPTIONS:-}} "${{DOKKU_HOST:?names the host, such as dokku@dokku.example.com}}" -- \\
      "$(python3 -c 'import shlex, sys; print(shlex.join(sys.argv[1:]))' "$@")"
  fi
}}

# json_of NAME...: those variables as JSON; secrets pass through the environment, never through arguments
json_of() {{
  python3 -c 'import json, os, sys; print(json.dumps({{name: os.environ[name] for name in sys.argv[1:]}}))' "$@"
}}
"""

#: How to see that a command has nothing to do, by its name; {0}, {1}, … are its words after the name.
_GUARDS = {
    "apps:create": "dokku apps:exists {0} </dev/null >/dev/null 2>&1",
    "network:create": "dokku network:exists {0} </dev/null >/dev/null 2>&1",
    "storage:create": "dokku storage:info {0} </dev/null >/dev/null 2>&1",
    "storage:mount": "dokku storage:list {0} </dev/null | grep -qF {1}",
    "docker-options:add": "dokku docker-options:report {0} </dev/null | grep -qF -- {2}",
}


def empty_host() -> ObservedHost:
    """A host with Dokku and its plugins, and nothing else."""
    return ObservedHost(frozenset(), {}, {}, frozenset(), frozenset(), {}, False, {}, {})


def write_script(desired: DesiredHost, apps: Sequence[str]) -> str:
    """The script for the named apps and the stores that they use."""
    planner = Planner(
        hashing=Hashing(b"-"),
        password=lambda _store, role: f"${{{role}_password}}",
        password_of=_shell_password,
        dsn=_shell_dsn,
    )
    plan = planner.plan(desired, empty_host(), apps)
    secrets = _secret_names(desired, apps)
    lines = [_HEAD.format(secrets=", ".join(secrets) or "(none)")]
    roles = sorted({link.role for app in apps for link in desired.apps[app].links if link.role})
    if roles:
        lines.append("# login roles; running the script again gives them new passwords")
        lines += [f"{role}_password=$(openssl rand -hex 24)" for role in roles]
    subject = ""
    for change in plan.changes:
        if change.subject != subject:
            subject = change.subject
            lines += ["", f"# ---- {subject}"]
        lines += _change_lines(change)
    lines += [
        "",
        "echo 'done; now deploy with: migrate deploy " + " ".join(apps) + "'",
    ]
    return "\n".join(lines) + "\n"


def _shell_password(role: DesiredRole) -> str:
    return f"${{{role.name}_password}}"


def _shell_dsn(kind: str, store: str) -> Value:
    return Value("", True, f'"$(dokku {kind}:info {store} --dsn </dev/null)"')


def _secret_names(desired: DesiredHost, apps: Sequence[str]) -> list[str]:
    found: set[str] = set()
    for app in apps:
        for value in desired.apps[app].config.values():
            found.update(re.findall(r'^"\$([A-Za-z_]\w*)"$', value.shell))
        found.update(
            name
            for advice in desired.apps[app].missing.values()
            for name in re.findall(r"^export (\w+)=", advice)
        )
    return sorted(found)


def _change_lines(change: Change) -> Iterator[str]:
    for one in change.commands:
        if one.name.endswith(":connect"):
            yield from _sql(one)
        elif one.name == "config:import":
            yield f"{one.stdin_from} |"
            yield f"  dokku {_words(one.words)}"
        else:
            yield _guarded(one)


def _guarded(one: DokkuCommand) -> str:
    line = f"dokku {_words(one.words)} </dev/null"
    after = [shlex.quote(word) for word in one.words[1:]]
    kind, _, verb = one.name.partition(":")
    if verb == "create" and kind in {"postgres", "redis", "rabbitmq"}:
        return f"dokku {one.name.replace('create', 'exists')} {after[0]} </dev/null >/dev/null 2>&1 || {line}"
    if verb == "link":
        return f"dokku {kind}:links {after[0]} </dev/null | grep -qx {after[1]} || {line}"
    guard = _GUARDS.get(one.name)
    return f"{guard.format(*after)} || {line}" if guard else line


def _sql(one: DokkuCommand) -> Iterator[str]:
    """SQL with shell variables for passwords; roles may be there already."""
    text = (one.stdin or b"").decode().replace("$$", "\\$\\$")
    text = re.sub(
        r'^(CREATE ROLE "\w+");$',
        r"DO \\$\\$ BEGIN \1; EXCEPTION WHEN duplicate_object THEN NULL; END \\$\\$;",
        text,
        flags=re.MULTILINE,
    )
    yield f"dokku {_words(one.words)} <<SQL"
    yield text.rstrip("\n")
    yield "SQL"


def _words(words: Sequence[str]) -> str:
    return shlex.join(words)
