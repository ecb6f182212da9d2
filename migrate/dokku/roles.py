"""Login roles with least privilege, and server settings, as SQL that mends a store; pure.

The SQL travels on stdin of `postgres:connect`, whose psql is a superuser.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from migrate.dokku.database import DatabaseState, Relation, literal
from shared.manifest_dokku import Rights

#: Rounds of PBKDF2 in a SCRAM-SHA-256 verifier; PostgreSQL's own default.
SCRAM_ROUNDS = 4096

#: The plugin chooses the name of the database, so the statement asks for it.
_GRANT_DATABASE = (
    "DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO %I',"
    " current_database(), '{role}'); END $$;"
)

_READ = frozenset({"SELECT"})
_WRITE = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE"})
_SEQUENCE = frozenset({"USAGE", "SELECT", "UPDATE"})


@dataclass(frozen=True, slots=True)
class DesiredRole:
    """One login role of a store: its password and its rights."""

    name: str
    password: str = field(repr=False)
    rights: tuple[Rights, ...]


def scram_verifier(password: str, salt: bytes, rounds: int = SCRAM_ROUNDS) -> str:
    """The SCRAM-SHA-256 verifier that PostgreSQL stores (RFC 5803); the password must be ASCII."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, rounds)
    client = hmac.digest(salted, b"Client Key", "sha256")
    stored = hashlib.sha256(client).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    parts = (base64.b64encode(part).decode() for part in (salt, stored, server))
    encoded_salt, encoded_stored, encoded_server = parts
    return f"SCRAM-SHA-256${rounds}:{encoded_salt}${encoded_stored}:{encoded_server}"


def verifies(password: str, verifier: str) -> bool:
    """Whether a stored verifier belongs to this password."""
    try:
        kind, salted, _keys = verifier.split("$")
        rounds, salt = salted.split(":")
        if kind != "SCRAM-SHA-256":
            return False
        expected = scram_verifier(password, base64.b64decode(salt), int(rounds))
    except (ValueError, UnicodeEncodeError):
        return False
    return hmac.compare_digest(expected, verifier)


def setting_statements(wanted: Mapping[str, str], state: DatabaseState) -> list[str]:
    """ALTER SYSTEM for every setting that is neither in effect nor written down, and the reload."""
    statements = [
        f"ALTER SYSTEM SET {name} = {literal(value)};"
        for name, value in wanted.items()
        if name in state.settings
        and state.settings[name].shown != value
        and state.settings[name].written != value
    ]
    return [*statements, "SELECT pg_reload_conf();"] if statements else []


def role_statements(
    roles: Sequence[DesiredRole], state: DatabaseState, password_of: Callable[[DesiredRole], str]
) -> list[str]:
    """Statements that make the roles and exactly their rights; empty when nothing differs.

    `password_of` gives the text between the quotes of PASSWORD: a verifier, or a shell variable.
    """
    logins = [line for role in roles for line in _login_statements(role, state, password_of)]
    return [*logins, *right_statements(roles, state)]


def right_statements(roles: Sequence[DesiredRole], state: DatabaseState) -> list[str]:
    """Statements that give and take rights of roles that can log in already."""
    statements: list[str] = []
    schemas = {name: dict(grants) for name, grants in state.schemas.items()}
    for role in sorted(roles, key=lambda role: not _owns(role)):  # owners make their schemas first
        if _owns(role) and "CREATE" not in state.database.get(role.name, frozenset()):
            statements.append(_GRANT_DATABASE.format(role=role.name))
        statements += _schema_statements(role, schemas)
        statements += _relation_statements(role, state)
        statements += _function_statements(role, state)
    return statements


def _owns(role: DesiredRole) -> bool:
    return any(rights.rights == "own" for rights in role.rights)


def _login_statements(
    role: DesiredRole, state: DatabaseState, password_of: Callable[[DesiredRole], str]
) -> list[str]:
    current = state.roles.get(role.name)
    if current is not None and current.is_plain and verifies(role.password, current.verifier):
        return []
    create = [f"CREATE ROLE {_name(role.name)};"] if current is None else []
    return [
        *create,
        f"ALTER ROLE {_name(role.name)} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION"
        f" NOBYPASSRLS PASSWORD '{password_of(role)}';",
    ]


def _schema_statements(
    role: DesiredRole, schemas: dict[str, dict[str, frozenset[str]]]
) -> list[str]:
    """Statements for the schemas; a schema that they create is added to `schemas`."""
    name = _name(role.name)
    statements: list[str] = []
    for schema in sorted({rights.schema_name for rights in role.rights}):
        own = any(r.rights == "own" for r in role.rights if r.schema_name == schema)
        wanted = {"USAGE", "CREATE"} if own else {"USAGE"}
        if schema not in schemas:
            if not own:
                continue  # until its owner has made it
            statements.append(f"CREATE SCHEMA IF NOT EXISTS {_name(schema)};")
            schemas[schema] = {}
        have = schemas[schema].get(role.name, frozenset())
        if missing := wanted - have:
            words = ", ".join(sorted(missing))
            statements.append(f"GRANT {words} ON SCHEMA {_name(schema)} TO {name};")
        if not own and "CREATE" in have:
            statements.append(f"REVOKE CREATE ON SCHEMA {_name(schema)} FROM {name};")
    return statements


def _relation_statements(role: DesiredRole, state: DatabaseState) -> list[str]:
    name = _name(role.name)
    statements: list[str] = []
    for relation in state.relations:
        wanted, own = _wanted(role, relation)
        target = f"{_name(relation.schema)}.{_name(relation.name)}"
        word = "SEQUENCE" if relation.is_sequence else "TABLE"
        if own:
            if relation.owner != role.name and not (relation.is_sequence and relation.of):
                statements.append(f"ALTER {word} {target} OWNER TO {name};")
            continue
        if relation.owner == role.name:
            continue
        have = relation.grants.get(role.name, frozenset())
        if missing := wanted - have:
            words = ", ".join(sorted(missing))
            statements.append(f"GRANT {words} ON {word} {target} TO {name};")
        if excess := have - wanted:
            words = ", ".join(sorted(excess))
            statements.append(f"REVOKE {words} ON {word} {target} FROM {name};")
    return statements


def _wanted(role: DesiredRole, relation: Relation) -> tuple[frozenset[str], bool]:
    wanted: frozenset[str] = frozenset()
    table = relation.of or relation.name
    for rights in role.rights:
        if rights.schema_name != relation.schema:
            continue
        if "*" not in rights.tables and table not in rights.tables:
            continue
        if rights.rights == "own":
            return frozenset(), True
        if relation.is_sequence:
            wanted |= _SEQUENCE if rights.rights == "write" else frozenset()
        else:
            wanted |= _WRITE if rights.rights == "write" else _READ
    return wanted, False


def _function_statements(role: DesiredRole, state: DatabaseState) -> list[str]:
    statements: list[str] = []
    for function in state.functions:
        allowed = any(
            rights.schema_name == function.schema and fnmatchcase(function.name, pattern)
            for rights in role.rights
            for pattern in rights.functions
        )
        if allowed and not function.grants & {role.name, "public"}:
            statements.append(
                f"GRANT EXECUTE ON FUNCTION {_name(function.schema)}.{_name(function.name)}"
                f"({function.arguments}) TO {_name(role.name)};"
            )
    return statements


def script(settings: Sequence[str], rest: Sequence[str]) -> bytes:
    """One script: ALTER SYSTEM, which no transaction may hold, then everything else or nothing."""
    lines = [*settings, *(["BEGIN;", *rest, "COMMIT;"] if rest else [])]
    return ("\n".join(lines) + "\n").encode()


def _name(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'
