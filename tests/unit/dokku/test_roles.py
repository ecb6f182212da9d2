"""Login roles: verifiers made here are PostgreSQL's own, and statements are the least that is needed."""

from __future__ import annotations

from migrate.dokku.database import DatabaseState, Function, Relation, Role
from migrate.dokku.roles import (
    DesiredRole,
    role_statements,
    scram_verifier,
    setting_statements,
    verifies,
)
from shared.manifest_dokku import Rights

#: Made by PostgreSQL 15 with `CREATE ROLE … PASSWORD 'correct horse'`.
STORED = (
    "SCRAM-SHA-256$4096:GC7g5wizDGwielkbmV2TqA==$IqAdPdB/Q470/JXoeoE6SxfU34L2tf8UG9w7vaOgmQU="
    ":OrN+KgAxxUs2Jr8MDpF5ZWP7NfnL/0m/3+EOtFcrJKI="
)


def test_what_the_server_stored_is_understood() -> None:
    assert verifies("correct horse", STORED)
    assert not verifies("correct Horse", STORED)


def test_a_verifier_belongs_to_its_password_only() -> None:
    verifier = scram_verifier("correct horse", b"0123456789abcdef")
    assert verifies("correct horse", verifier)
    assert not verifies("battery staple", verifier)
    assert not verifies("correct horse", "md5" + "0" * 32)
    assert not verifies("correct horse", "")


def state(**more: object) -> DatabaseState:
    values: dict[str, object] = {
        "settings": {},
        "roles": {},
        "relations": (),
        "functions": (),
        "schemas": {"public": {"public": frozenset({"USAGE"})}},
        "database": {},
        "name": "shared",
    }
    return DatabaseState(**{**values, **more})  # type: ignore[arg-type]


def statements(rights: tuple[Rights, ...], before: DatabaseState) -> list[str]:
    role = DesiredRole("chat", "pw", rights)
    return role_statements([role], before, lambda _role: "VERIFIER")


CHAT = Role("chat", True, scram_verifier("pw", b"0123456789abcdef"))


def test_a_new_role_gets_a_login_and_nothing_else() -> None:
    assert statements((), state()) == [
        'CREATE ROLE "chat";',
        'ALTER ROLE "chat" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS'
        " PASSWORD 'VERIFIER';",
    ]


def test_rights_are_given_and_taken_exactly() -> None:
    usage = {"public": {"chat": frozenset({"USAGE", "CREATE"})}}
    before = state(
        roles={"chat": CHAT},
        schemas=usage,
        relations=(
            Relation("public", "messages", "r", "monolith", "", {"chat": frozenset({"SELECT"})}),
            Relation("public", "messages_seq", "S", "monolith", "messages", {}),
            Relation(
                "public", "users", "r", "monolith", "", {"chat": frozenset({"SELECT", "DELETE"})}
            ),
            Relation("public", "secrets", "r", "monolith", "", {}),
        ),
        functions=(
            Function("public", "quota_reserve", "uuid, text", frozenset({"monolith"})),
            Function("public", "drop_all", "", frozenset({"monolith"})),
        ),
    )
    rights = (
        Rights(tables=("messages",), rights="write"),
        Rights(tables=("users",), rights="read", functions=("quota_*",)),
    )
    assert statements(rights, before) == [
        'REVOKE CREATE ON SCHEMA "public" FROM "chat";',
        'GRANT DELETE, INSERT, UPDATE ON TABLE "public"."messages" TO "chat";',
        'GRANT SELECT, UPDATE, USAGE ON SEQUENCE "public"."messages_seq" TO "chat";',
        'REVOKE DELETE ON TABLE "public"."users" FROM "chat";',
        'GRANT EXECUTE ON FUNCTION "public"."quota_reserve"(uuid, text) TO "chat";',
    ]


def test_an_owner_takes_tables_over_and_may_make_new_ones() -> None:
    before = state(
        roles={"chat": CHAT},
        relations=(Relation("public", "messages", "r", "postgres", "", {}),),
    )
    found = statements((Rights(tables=("*",), rights="own"),), before)
    assert [line.split()[0] for line in found] == ["DO", "GRANT", "ALTER"]
    assert found[2] == 'ALTER TABLE "public"."messages" OWNER TO "chat";'


def test_a_schema_waits_for_its_owner() -> None:
    rights = (Rights(schema="strangler", tables=("*",), rights="read"),)  # type: ignore[call-arg]
    assert statements(rights, state(roles={"chat": CHAT})) == []


def test_settings_are_written_once() -> None:
    from migrate.dokku.database import Setting

    before = state(settings={"wal_level": Setting("replica", "default", True, "")})
    assert setting_statements({"wal_level": "logical"}, before) == [
        "ALTER SYSTEM SET wal_level = 'logical';",
        "SELECT pg_reload_conf();",
    ]
    written = state(settings={"wal_level": Setting("replica", "default", True, "logical")})
    assert setting_statements({"wal_level": "logical"}, written) == []
